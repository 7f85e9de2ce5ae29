"""Makes a picture as an agent does: calls a tool of the MCP server in comfy-api-simplified."""

import asyncio
import json
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

url, graph, folder = sys.argv[1:]
server = StdioServerParameters(
    command=str(Path(sys.executable).with_name("comfy-mcp-server")),
    env={"COMFY_URL": url, "COMFY_OUTPUT_DIR": folder},
)
workflow = json.loads(Path(graph).read_text())


async def draw() -> None:
    """Look what there is, then run the graph."""
    async with stdio_client(server) as (hears, says), ClientSession(hears, says) as session:
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"list_models", "get_node_type_info", "run_workflow"} <= tools, tools
        models = await session.call_tool("list_models", {})
        assert "hanzo-demo-64.safetensors" in str(models.content)
        how = {"workflow": workflow, "output_node_title": "picture"}
        answer = await session.call_tool("run_workflow", how)
        assert not answer.is_error, answer.content


asyncio.run(draw())
