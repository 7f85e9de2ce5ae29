"""Adds the nodes of `tests.e2e.deadly` to every process that finds this folder on its path."""

from libs.nodes import registry

vars(registry)["FAMILIES"] = (*registry.FAMILIES, "tests.e2e.deadly")
