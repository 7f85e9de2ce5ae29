"""Makes a picture with comfy-api-simplified: posts first, listens afterwards."""

import sys
from pathlib import Path

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper

url, graph, folder = sys.argv[1:]
api = ComfyApiWrapper(f"{url}/")
pictures = api.queue_and_wait_images(ComfyWorkflowWrapper(graph), "picture")
for name, data in pictures.items():
    Path(folder, name).write_bytes(data)
