"""Builds wheel and sdist: hatchling does, once the Painter page is built; never without it.

`pyproject.toml` names this file as the build backend (PEP 517). An editable install, which is what
`deploy/set_up.py` makes, goes through without the page: there it is built afterwards, if it can be.
"""

from __future__ import annotations

from typing import Any

import build_site
from hatchling import build as hatchling
from hatchling.build import *  # noqa: F403  (what an editable install and the metadata ask for)


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what hatchling needs, and a Node where the page is still to be built."""
    return [*hatchling.get_requires_for_build_sdist(config_settings), *node_wanted()]


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what hatchling needs, and a Node where the page is still to be built."""
    return [*hatchling.get_requires_for_build_wheel(config_settings), *node_wanted()]


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """Write the archive of the sources, the built page among them."""
    need_page()
    return hatchling.build_sdist(sdist_directory, config_settings)


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Write the wheel, the built page inside."""
    need_page()
    return hatchling.build_wheel(wheel_directory, config_settings, metadata_directory)


def node_wanted() -> list[str]:
    """Return the package of Node, unless the page is built or the machine has a Node."""
    if build_site.is_built() or build_site.find_own_node():
        return []
    return [build_site.NODE_PACKAGE]


def need_page() -> None:
    """Build the page, or stop the build with a plain word."""
    if build_site.main(testing=False) or not build_site.is_built():
        raise RuntimeError(
            "The Painter page could not be built (the lines above say why), and no wheel or sdist "
            "is made without it. It needs the npm registry, or a folder services/painter/site "
            "that `make page` built from these very sources."
        )
