"""Adds the nodes of `tests.semantics.nodes` to every process that finds this folder on its path."""

from libs.nodes import registry

vars(registry)["FAMILIES"] = (*registry.FAMILIES, "tests.semantics.nodes")
