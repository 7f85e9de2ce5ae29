"""`comfy_api.latest.io`: the schema of a node class, what it returns, and the class it inherits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from libs.nodes.expansion import Blocked
from libs.nodes.packs.shims import wires
from libs.nodes.packs.shims.groups import Autogrow, DynamicCombo, MatchType, MultiCombo, MultiType
from libs.nodes.packs.shims.wires import (
    AnyType,
    Boolean,
    Color,
    Combo,
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    Custom,
    Float,
    FolderType,
    Input,
    Int,
    NumberDisplay,
    Output,
    String,
    UploadType,
    WidgetInput,
    comfytype,
)

__all__ = [
    "AnyType",
    "Autogrow",
    "Boolean",
    "Color",
    "Combo",
    "ComfyNode",
    "ComfyTypeI",
    "ComfyTypeIO",
    "ControlAfterGenerate",
    "Custom",
    "DynamicCombo",
    "Float",
    "FolderType",
    "Hidden",
    "HiddenHolder",
    "Input",
    "Int",
    "MatchType",
    "MultiCombo",
    "MultiType",
    "NodeOutput",
    "NumberDisplay",
    "Output",
    "Schema",
    "String",
    "UploadType",
    "WidgetInput",
    "comfytype",
]
globals().update(wires.WIRES)


class Hidden(StrEnum):
    """What a node may ask of its surroundings."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"  # noqa: S105  The name of an input.
    api_key_comfy_org = "API_KEY_COMFY_ORG"


class HiddenHolder:
    """What a node finds in `cls.hidden`; None is what it did not ask for, or nobody has."""

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._given = dict(given or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.get("_given", {}).get(name)


class Schema:
    """What a class says of itself; words that are not known here change nothing."""

    def __init__(
        self,
        node_id: str,
        display_name: str | None = None,
        category: str = "",
        inputs: Iterable[Input] | None = None,
        outputs: Iterable[Any] | None = None,
        hidden: Iterable[Hidden] | None = None,
        description: str = "",
        **more: Any,
    ) -> None:
        self.node_id = node_id
        self.display_name = display_name
        self.category = category
        self.inputs = [one for one in inputs or () if one is not None]
        self.outputs = [one for one in outputs or () if one is not None]
        self.hidden = list(hidden or ())
        self.description = description
        self.is_input_list = bool(more.get("is_input_list"))
        self.is_output_node = bool(more.get("is_output_node"))
        self.search_aliases = list(more.get("search_aliases") or ())
        self.is_deprecated = bool(more.get("is_deprecated"))
        self.is_experimental = bool(more.get("is_experimental"))
        self.enable_expand = bool(more.get("enable_expand"))
        self.accept_all_inputs = bool(more.get("accept_all_inputs"))
        self.more = more


class NodeOutput:
    """What a node returns: values in the order of its outputs, and what is shown."""

    def __init__(
        self,
        *args: Any,
        ui: Any = None,
        expand: Mapping[str, Any] | None = None,
        block_execution: str | None = None,
        **_: Any,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """Return the values."""
        return self.args or None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NodeOutput:
        """Return what the older protocol says with a dictionary."""
        args = data.get("result", ())
        return cls(
            *(args if isinstance(args, list | tuple) else (args,)),
            ui=data.get("ui"),
            expand=data.get("expand"),
        )

    def told(self, outputs: int) -> Any:
        """Return it as the older protocol returns it."""
        result: Any = self.args
        if self.block_execution is not None:
            result = (Blocked(self.block_execution),) * outputs
        told: dict[str, Any] = {"result": result}
        shown = self.ui.as_dict() if hasattr(self.ui, "as_dict") else self.ui
        if shown is not None:
            told["ui"] = shown
        if self.expand is not None:
            told["expand"] = self.expand
        return told


class ComfyNode:
    """What a node class inherits; all that is called of it are class methods."""

    hidden: HiddenHolder = HiddenHolder()

    @classmethod
    def define_schema(cls) -> Schema:
        """Return what the class says of itself."""
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802  The name that packs call.
        """Return what the class says of itself."""
        return cls.define_schema()

    @classmethod
    def execute(cls, **_: Any) -> Any:
        """Do the node's work."""
        raise NotImplementedError
