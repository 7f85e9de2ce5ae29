"""Makes a picture with comfy-headless: checks the graph's node types, posts, polls."""

import json
import sys
from pathlib import Path

from comfy_headless import ComfyClient

url, graph, folder = sys.argv[1:]
workflow = json.loads(Path(graph).read_text())
client = ComfyClient(base_url=url)
client.ensure_online()
client.require_workflow_dependencies(workflow)
prompt_id = client.queue_prompt(workflow)
entry = client.wait_for_completion(prompt_id)
for shown in entry["outputs"].values():
    for image in shown["images"]:
        data = client.get_image(image["filename"], image["subfolder"], image["type"])
        Path(folder, image["filename"]).write_bytes(data)
