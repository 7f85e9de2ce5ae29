"""Makes a picture with comfyui-xy: posts, then polls the history."""

import json
import sys
from pathlib import Path

from comfyui_xy import ComfyUiClient

url, graph, folder = sys.argv[1:]
client = ComfyUiClient(url=url, raise_on_error=True)
for answer in client.process_workflow(json.loads(Path(graph).read_text())):
    if answer.is_file:
        answer.save(str(Path(folder, answer.filename)))
