"""Whatever deploy/ and docs/ tell a process by a variable is a setting that somebody reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.bus.authorization import CLUSTER_USERS, HOUSE_USERS, password_variable
from services.commands.settings import all_settings
from tests.deploy.reading import DEPLOY, ROOT, manifests, pods, read_yaml

SETTINGS = {row.variable: row.read_by for row in all_settings()}
# Read by the command line and by `studio up`, and so in no class of settings.
OF_COMMANDS = {"STUDIO_HEALTH_PORT", "STUDIO_HEALTH_HOST"} | {
    password_variable(user) for user in (*CLUSTER_USERS, *HOUSE_USERS)
}
OF_OTHERS = {
    "PATH", "PYTHONUNBUFFERED", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
}  # fmt: skip
IMAGES = [DEPLOY / "Dockerfile", DEPLOY / "gpu.Dockerfile"]
# Read by compose alone, and by the tests.
NO_SETTINGS = {
    "STUDIO_DB_PASSWORD", "STUDIO_FIDELITY", "STUDIO_FUZZ_EXAMPLES", "STUDIO_SEEDS",
    "STUDIO_TEST_HOUSE", "STUDIO_TEST_SERVERS",
}  # fmt: skip


def of_images() -> Iterator[tuple[str, str]]:
    for path in IMAGES:
        stage = path.read_text().rpartition("\nFROM ")[2]
        (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)", stage, re.MULTILINE)
        for name in re.findall(r"(\w+)=", block):
            yield path.name, name


def of_compose() -> Iterator[tuple[str, str]]:
    for name in ("compose.yaml", "compose.cpu.yaml"):
        services = read_yaml(DEPLOY / name)["services"]
        for service in ("studio", "painter"):
            for line in services[service]["environment"]:
                yield f"{name}: {service}", line.partition("=")[0]


def of_pods() -> Iterator[tuple[str, str]]:
    config = [one for one in manifests() if one["kind"] == "ConfigMap"]
    for one in config:
        yield from (("config.yaml", name) for name in one["data"])
    for pod, template in pods().items():
        if pod != "nats":
            for container in template["spec"]["containers"]:
                yield from ((pod, each["name"]) for each in container["env"])


@pytest.mark.parametrize("told", [of_images, of_compose, of_pods])
def test_a_variable_that_is_set_is_one_that_is_read(told):
    names = list(told())
    assert names
    known = SETTINGS.keys() | OF_COMMANDS | OF_OTHERS
    assert [(place, name) for place, name in names if name not in known] == []


@pytest.mark.parametrize("pod", [name for name in pods() if name.startswith("studio-")])
def test_a_service_is_told_nothing_of_another(pod: str):
    (container,) = pods()[pod]["spec"]["containers"]
    service = {"worker": "gpu_worker"}.get(pod.removeprefix("studio-"), pod.removeprefix("studio-"))
    read_by = {each["name"]: SETTINGS[each["name"]] for each in container["env"]}
    assert {name for name, who in read_by.items() if who not in {"all", service}} == set()


def test_no_secret_stands_in_a_manifest():
    secret = re.compile(r"PASSWORD|SECRET|KEY|DATABASE_URL")
    written = [
        (pod, each["name"])
        for pod, template in pods().items()
        for container in template["spec"]["containers"]
        for each in container["env"]
        if secret.search(each["name"]) and "value" in each
    ]
    assert written == []
    (config,) = [one["data"] for one in manifests() if one["kind"] == "ConfigMap"]
    assert [name for name in config if secret.search(name)] == []


def test_no_service_of_the_cluster_is_taken_for_a_setting():
    # Kubernetes would set STUDIO_GATEWAY_PORT to an address where a Service is named studio-gateway.
    assert [n for n, pod in pods().items() if pod["spec"]["enableServiceLinks"] is not False] == []


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), DEPLOY / ".env.example"],
    ids=lambda page: page.name,
)
def test_the_docs_name_no_setting_that_nobody_reads(page: Path):
    named = set(re.findall(r"\bSTUDIO_[A-Z0-9_]*[A-Z0-9]\b", page.read_text()))
    assert named - SETTINGS.keys() - OF_COMMANDS - NO_SETTINGS == set()
