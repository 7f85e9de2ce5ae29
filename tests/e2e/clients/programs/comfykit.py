"""Makes a picture with comfykit: over HTTP alone, and over its WebSocket."""

import asyncio
import sys
import urllib.request
from pathlib import Path

from comfykit import ComfyKit

url, graph, folder = sys.argv[1:]
for way in ("http", "websocket"):
    result = asyncio.run(ComfyKit(comfyui_url=url, executor_type=way).execute(graph))
    assert result.status == "completed", result
    for place, link in enumerate(result.images):
        with urllib.request.urlopen(link) as answer:
            Path(folder, f"{way}-{place}.png").write_bytes(answer.read())
