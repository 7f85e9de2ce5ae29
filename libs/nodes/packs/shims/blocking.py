"""`comfy_execution`: nodes in place of a node, and values that are none."""

from libs.nodes.expansion import Blocked
from libs.nodes.packs.graphs import GraphBuilder as GraphBuilder  # noqa: PLC0414
from libs.nodes.packs.graphs import is_link as is_link  # noqa: PLC0414

ExecutionBlocker = Blocked
