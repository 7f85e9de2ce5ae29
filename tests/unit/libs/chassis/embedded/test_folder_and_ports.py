"""What needs no server: whose process it is, who owns a folder, which port is free."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from libs.chassis.embedded import alive, child, home, ports
from libs.chassis.embedded.child import Child, Command
from libs.chassis.embedded.home import Addresses
from libs.chassis.embedded.ports import LOOPBACK
from libs.chassis.embedded.secret import secret
from libs.core.errors import Misconfigured

NOTHING = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)")


@pytest.fixture(params=["linux", "darwin"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ask for processes the way of each system; `ps` understands the same everywhere."""
    monkeypatch.setattr(sys, "platform", request.param)
    return str(request.param)


@pytest.mark.usefixtures("platform")
def test_a_pid_that_was_given_again_is_not_the_old_process() -> None:
    mine = alive.of(os.getpid())
    assert mine.is_alive()
    assert not alive.ProcessId(mine.pid, "0").is_alive()


@pytest.mark.usefixtures("platform")
def test_an_ended_process_that_nobody_has_buried_is_not_alive() -> None:
    process = subprocess.Popen(NOTHING)
    here = alive.of(process.pid)
    assert here.is_alive()
    process.kill()
    # WNOWAIT leaves it unburied.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not here.is_alive()
    process.wait()


def test_the_home_has_a_folder_for_each_kind_of_weights(tmp_path: Path) -> None:
    laid_out = home.lay_out(tmp_path / "home")
    models = {folder.name for folder in (laid_out / "models").iterdir()}
    assert models == {
        *("checkpoints", "loras", "controlnet", "vae", "clip", "upscale", "unet"),
        *("clip_vision", "embeddings", "ipadapter", "motion", "style_models"),
    }
    assert (laid_out / "node_packs").is_dir()
    assert stat.S_IMODE((laid_out / "run").stat().st_mode) == 0o700


def test_folders_that_exist_keep_their_permissions_and_content(tmp_path: Path) -> None:
    shared = tmp_path / "home" / "models" / "checkpoints"
    shared.mkdir(parents=True)
    shared.chmod(0o750)
    (shared / "weights").write_bytes(b"kept")
    home.lay_out(tmp_path / "home")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o750
    assert (shared / "weights").read_bytes() == b"kept"


def test_a_claimed_folder_names_its_owner_until_it_is_given_back(tmp_path: Path) -> None:
    home.lay_out(tmp_path)
    claim = home.claim(tmp_path)
    with pytest.raises(Misconfigured, match="`studio up` is already running") as refused:
        home.claim(tmp_path)
    assert refused.value.facts == {"folder": str(tmp_path), "pid": os.getpid()}
    claim.release()
    claim.release()
    home.claim(tmp_path).release()


def test_a_house_is_found_until_it_is_withdrawn(tmp_path: Path) -> None:
    home.lay_out(tmp_path)
    addresses = Addresses(nats_url="nats://127.0.0.1:1", s3_region="us-east-1")
    home.announce(tmp_path, addresses, {"studio": "http://127.0.0.1:2"})
    found = home.find(tmp_path)
    assert found is not None
    assert found.addresses == addresses
    assert found.urls == {"studio": "http://127.0.0.1:2"}
    home.withdraw(tmp_path)
    assert home.find(tmp_path) is None


@pytest.mark.parametrize("left", ["", "{", "[]", '{"process": {"pid": 1, "started": "0"}}'])
def test_a_note_that_is_broken_or_stale_is_no_house(tmp_path: Path, left: str) -> None:
    home.lay_out(tmp_path)
    (tmp_path / "run" / "house.json").write_text(left)
    assert home.find(tmp_path) is None


def test_addresses_never_show_their_secrets() -> None:
    shown = repr(Addresses("nats://u:hidden@h", "postgresql://u:hidden@h", "", "k", "hidden", ""))
    assert "hidden" not in shown


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    first = secret(tmp_path / "password")
    assert secret(tmp_path / "password") == first
    assert len(first) >= 32
    assert secret(tmp_path / "other") != first
    assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600


def test_a_wished_port_is_given_when_free_and_another_when_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        taken = listener.getsockname()[1]
        assert ports.choose({"one": taken})["one"] != taken
    assert ports.choose({"one": taken})["one"] == taken


def test_no_port_is_given_twice() -> None:
    chosen = ports.choose(dict.fromkeys(map(str, range(50)), 0), with_companion=("7",))
    assert len(set(chosen.values())) == 50
    assert chosen["7"] in ports.COMPANION_RANGE


async def test_a_child_that_will_not_end_is_ended(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    started = _child(tmp_path, f"{deaf}; time.sleep(60)")
    while not started.last_lines():
        assert not await started.ended(0.02)
    await started.stop(0.1)
    assert started.exit_code == -signal.SIGKILL


async def test_a_child_left_behind_is_ended_before_the_next_starts(tmp_path: Path) -> None:
    left = _child(tmp_path, "import time; time.sleep(60)")
    next_one = _child(tmp_path, "import time; time.sleep(60)")
    assert left.exit_code == -signal.SIGKILL
    assert next_one.exit_code is None
    await next_one.stop(1)


async def test_a_child_gets_no_settings_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody's")
    started = _child(tmp_path, "import os; print(sorted(os.environ))")
    assert await started.ended(10)
    assert "AWS_ACCESS_KEY_ID" not in started.last_lines()[-1]
    assert "'HOME'" in started.last_lines()[-1]


async def test_a_full_log_is_set_aside_while_the_child_writes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LOG_BYTES_MAX", 100)
    program = "import sys\nprint('old' * 50, flush=True)\ninput\nsys.stdin\n"
    wait = f"import os, time\nwhile os.path.getsize({str(tmp_path / 'log')!r}): time.sleep(.01)\n"
    started = _child(tmp_path, f"{program}{wait}print('new')")
    while not started.last_lines():
        assert not await started.ended(0.02)
    started.keep_log_bounded()
    assert await started.ended(10)
    assert started.last_lines() == ["new"]
    assert "oldold" in (tmp_path / "log.old.log").read_text()


def _child(folder: Path, program: str) -> Child:
    command = (sys.executable, "-I", "-S", "-c", program)
    return Child(Command(program=command, folder=folder, log=folder / "log"))
