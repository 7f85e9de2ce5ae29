"""The wheel holds all that a house runs on, the built page among it, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from deploy import build_site
from tests.deploy.reading import DEPLOY, ROOT, run

SITE = "services/painter/site"
# One file of every kind that is no code, and without which something is missing or refused.
NEEDED = {
    "libs/nodes/examples/sdxl.comfy.json",
    "libs/nodes/examples/techniques/everything_in_one.json",
    "libs/store/migrations/env.py",
    "libs/text/NOTICE",
    "libs/text/bpe_simple_vocab_16e6.txt.gz",
    "libs/text/t5_tokenizer.json.gz",
    "libs/weights/demo/NOTICE.md",
    "libs/weights/demo/card.json",
    "libs/weights/demo/graph.json",
    "libs/weights/demo/hanzo-demo-64.safetensors",
    "libs/weights/demo/realesr-animevideov3-x4.safetensors",
    "libs/weights/preprocess/hed.safetensors",
    "libs/weights/preprocess/pose-landmarks.safetensors",
    "services/gateway/pages/index.html",
    "services/gateway/pages/licences.html",
    "services/moderation/blocklist.txt",
    "services/painter/negatives.json",
    "services/painter/openapi.json",
    "services/painter/styles.json",
    "services/painter/templates/demo.json",
    f"{SITE}/index.html",
    f"{SITE}/licences.txt",
}
BUILT_BY_BACKEND = """
import sys
sys.path.insert(0, "deploy")
import backend
print(backend.build_wheel(sys.argv[1]), backend.build_sdist(sys.argv[1]))
"""
needs_page = pytest.mark.skipif(
    not build_site.is_built(), reason="the Painter page is not built: make page-test"
)


def listed(builder: type[WheelBuilder | SdistBuilder]) -> set[str]:
    """Return what the configuration of the build lets in, without building."""
    return {file.distribution_path for file in builder(str(ROOT)).recurse_included_files()}


def kept() -> set[str]:
    """Return the files of the repository, the newest ones too."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    told = run(
        *command, GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*"
    )
    if told.returncode:
        pytest.skip("this is no checkout of git")
    return {name for name in told.stdout.splitlines() if (ROOT / name).is_file()}


def page() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix() for path in (ROOT / SITE).rglob("*") if path.is_file()
    }


@needs_page
def test_the_wheel_is_the_packages_and_the_page():
    packages = {name for name in kept() if name.startswith(("libs/", "services/"))}
    assert listed(WheelBuilder) == packages | page()
    assert listed(WheelBuilder) >= NEEDED


@needs_page
def test_the_sdist_is_the_repository_and_the_page():
    always = {".gitignore", "pyproject.toml"}
    assert listed(SdistBuilder) | always == kept() | page()


@pytest.mark.parametrize(
    ("builder", "place"),
    [
        (SdistBuilder, "deploy/.env"),
        (SdistBuilder, "deploy/models/checkpoints/mine.safetensors"),
        (SdistBuilder, "web/painter/node_modules/react/index.js"),
        (WheelBuilder, "services/.env"),
        (WheelBuilder, "libs/__pycache__/settings.cpython-311.pyc"),
    ],
)
def test_what_lies_about_is_left_out_wherever_the_checkout_is(
    builder: type[WheelBuilder | SdistBuilder], place: str, tmp_path: Path
):
    # Under a folder of this name hatchling reads no .gitignore.
    checkout = tmp_path / "tmp" / "checkout"
    for name in (place, "libs/settings.py", ".gitignore"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("/tmp/\n")
    (checkout / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    names = {each.distribution_path for each in builder(str(checkout)).recurse_included_files()}
    assert "libs/settings.py" in names
    assert place not in names


def test_no_wheel_is_made_without_the_page(tmp_path: Path):
    checkout = tmp_path / "checkout"
    (checkout / "deploy").mkdir(parents=True)
    (checkout / "web").symlink_to(ROOT / "web")
    for name in ("backend.py", "build_site.py"):
        (checkout / "deploy" / name).write_text((DEPLOY / name).read_text())
    program = "import sys; sys.path.insert(0, 'deploy'); import backend; backend.build_wheel('out')"
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import build_site; build_site.find_node = lambda: None; {program}",
        ],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": "deploy"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode != 0
    assert "The Painter page could not be built" in told.stderr
    assert not (checkout / "out").exists()


def test_whoever_installs_the_house_gets_all_but_the_editor():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (house,) = extras["house"]
    named = set(house.removeprefix("hanzo-studio[").removesuffix("]").split(","))
    assert named == set(extras) - {"house", "editor", "test", "train"}
    others = [line for name, lines in extras.items() if name != "editor" for line in lines]
    assert not [line for line in others if "comfyui" in line.lower()]


@pytest.mark.long
@needs_page
def test_a_house_out_of_the_wheel_makes_a_picture_far_from_the_checkout(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-c", BUILT_BY_BACKEND, str(tmp_path)], cwd=ROOT, check=True, timeout=110
    )
    (wheel,) = tmp_path.glob("*.whl")
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as opened_sources:
        assert f"{sdist.name[:-7]}/{SITE}/index.html" in opened_sources.getnames()
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        opened.extractall(tmp_path / "site-packages")
    beside = {name for name in names if not name.startswith(("libs/", "services/"))}
    assert {name.rpartition("/")[2] for name in beside} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE", "NOTICE",
    }  # fmt: skip
    assert names >= NEEDED
    empty = tmp_path / "empty"
    empty.mkdir()
    told = subprocess.run(
        [sys.executable, "-c", "import services.cli as c; print(c.__file__); c.main()", "demo"],
        cwd=empty,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(tmp_path / "site-packages"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(str(tmp_path / "site-packages"))
    assert (empty / "demo.png").read_bytes().startswith(b"\x89PNG")
