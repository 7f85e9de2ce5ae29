"""`comfy.samplers`, `comfy.cli_args` and `nodes`, as far as packs read names and numbers there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, get_args

from libs.nodes.courses import SamplerName, SchedulerName

MAX_RESOLUTION: Final = 16384
SAMPLER_NAMES: Final = list(get_args(SamplerName))
SCHEDULER_NAMES: Final = list(get_args(SchedulerName))
# Filled with the classes of the packs; the house's own node types are no classes.
NODE_CLASS_MAPPINGS: Final[dict[str, Any]] = {}
NODE_DISPLAY_NAME_MAPPINGS: Final[dict[str, str]] = {}
# Packs may write folders of pages here; those are not served.
EXTENSION_WEB_DIRS: Final[dict[str, str]] = {}


class KSampler:
    """Only the names: who samples does so with a node."""

    SAMPLERS: Final = SAMPLER_NAMES
    SCHEDULERS: Final = SCHEDULER_NAMES


args: Final = SimpleNamespace(
    listen="127.0.0.1",
    port=8188,
    verbose="INFO",
    cpu=False,
    lowvram=False,
    novram=False,
    highvram=False,
    disable_metadata=False,
    multi_user=True,
    base_directory=None,
    output_directory=None,
    input_directory=None,
    temp_directory=None,
    user_directory=None,
    preview_method=None,
    force_fp16=False,
    force_fp32=False,
)
