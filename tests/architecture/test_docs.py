"""What can be set is bounded and written down, and the requirement rows are whole."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import services
from libs.settings import Settings
from libs.telemetry.settings import TelemetrySettings
from tests.architecture.tree import ROOT
from tests.conformance.rows import load_rows

PAGE = ROOT / "docs" / "settings.md"


def _all_settings() -> list[type[BaseSettings]]:
    found: list[type[BaseSettings]] = [Settings, TelemetrySettings]
    for package in pkgutil.iter_modules(services.__path__, "services."):
        name = f"{package.name}.settings"
        if package.ispkg and importlib.util.find_spec(name):
            module = importlib.import_module(name)
            found += [
                value
                for value in vars(module).values()
                if isinstance(value, type)
                and issubclass(value, BaseSettings)
                and value.__module__ == name
            ]
    return found


FIELDS = [
    pytest.param(cls, name, field, id=f"{cls.__name__}.{name}")
    for cls in _all_settings()
    for name, field in cls.model_fields.items()
]


@pytest.mark.parametrize(("cls", "name", "field"), FIELDS)
def test_a_setting_is_described_bounded_and_in_the_docs(
    cls: type[BaseSettings], name: str, field: FieldInfo
):
    assert field.description
    if field.annotation in {int, float}:
        kinds = {type(bound).__name__ for bound in field.metadata}
        assert kinds & {"Ge", "Gt"}, "a number needs a least value"
        assert kinds & {"Le", "Lt"}, "a number needs a greatest value"
    prefix = str(cls.model_config.get("env_prefix") or "")
    variables = {f"{prefix}{name}".upper()}
    if field.validation_alias is not None:
        variables |= {str(c) for c in getattr(field.validation_alias, "choices", ())}
    page = PAGE.read_text(encoding="utf-8")
    assert any(f"`{variable}`" in page for variable in variables), variables


def test_the_requirement_rows_are_whole():
    ids = [row.id for row in load_rows()]
    assert ids[:399] == [f"R{number:03d}" for number in range(1, 400)]
    assert ids[399:] == [f"P{number:02d}" for number in range(1, 16)]


def test_the_readme_has_a_line_for_every_folder():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = [
        f"{top}/{path.name}/"
        for top in ("services", "libs")
        for path in sorted((ROOT / top).iterdir())
        if path.is_dir() and path.name != "__pycache__"
    ]
    missing = [folder for folder in folders if folder not in readme]
    assert not missing


def test_the_docs_speak_of_the_product_alone():
    strangers = re.compile(
        r"design\.md|\.\./shared|\bissue #?\d|\bsubagent|\bfarm-bench", re.IGNORECASE
    )
    found = [
        str(page.relative_to(ROOT))
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        if strangers.search(page.read_text(encoding="utf-8"))
    ]
    assert not found
