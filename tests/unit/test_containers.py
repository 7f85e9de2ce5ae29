"""The servers for tests as containers, up to the engine that would run them."""

from __future__ import annotations

import json

import pytest

from libs.core.errors import Misconfigured
from tests import containers
from tests.containers import NATS, POSTGRES, S3, Container

# Named, so that no engine is asked for it.
ENGINE = "1.44"


def test_without_a_word_the_servers_are_embedded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(containers.VARIABLE, raising=False)
    assert containers.kind_of_servers() == "embedded"
    monkeypatch.setenv(containers.VARIABLE, "containers")
    assert containers.kind_of_servers() == "containers"


def test_a_kind_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(containers.VARIABLE, "docker")
    with pytest.raises(Misconfigured, match="must be embedded or containers"):
        containers.kind_of_servers()


def test_without_an_engine_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    with (
        pytest.raises(Misconfigured, match="start Docker or Podman") as refused,
        containers.running(NATS),
    ):
        pass
    for way_out in ("DOCKER_HOST", "embedded", "NATS_URL", "DATABASE_URL", "S3_ENDPOINT"):
        assert way_out in refused.value.message
    assert refused.value.facts["image"] == NATS.image


@pytest.mark.parametrize(
    ("container", "image", "port"),
    [
        (NATS, "nats:", 4222),
        (POSTGRES, "postgres:", 5432),
        (S3, "chrislusf/seaweedfs:", 8333),
    ],
    ids=["nats", "postgres", "s3"],
)
def test_a_container_is_built_as_it_is_described(container: Container, image: str, port: int):
    made = containers.built(container, ENGINE)
    assert made.image.startswith(image)
    assert list(made.ports) == [str(port)]
    assert made._command == list(container.command)
    assert made.env == dict(container.environment)
    assert made._wait_strategy is not None
    sent = {spec[1]: spec[0] for spec in made._transferable_specs}
    assert sent == {path: text.encode() for path, text in container.files.items()}


def test_no_image_moves_under_us():
    for container in (NATS, POSTGRES, S3):
        tag = container.image.partition(":")[2]
        assert tag[:1].isdigit(), container.image


def test_nats_syncs_every_write_and_wants_the_password_of_its_url():
    config = json.loads(NATS.files["/etc/studio/nats.conf"])
    assert config["jetstream"]["sync_interval"] == "always"
    login = config["authorization"]
    address = containers.nats_url_at("h:1")
    assert address == f"nats://{login['user']}:{login['password']}@h:1"
    assert NATS.command[-1] in NATS.files


def test_postgres_is_ready_when_it_says_so_for_the_second_time():
    assert POSTGRES.ready.times == 2
    made = POSTGRES.environment
    login = f"{made['POSTGRES_USER']}:{made['POSTGRES_PASSWORD']}"
    wanted = f"postgresql+asyncpg://{login}@h:1/{made['POSTGRES_DB']}"
    assert containers.database_url_at("h:1") == wanted


def test_s3_knows_the_keys_of_its_access():
    (identity,) = json.loads(S3.files["/etc/studio/s3.json"])["identities"]
    access = containers.s3_access_at("h:1")
    assert access.endpoint == "http://h:1"
    assert identity["credentials"] == [
        {"accessKey": access.access_key, "secretKey": access.secret_key}
    ]
    assert f"-s3.config={next(iter(S3.files))}" in S3.command
