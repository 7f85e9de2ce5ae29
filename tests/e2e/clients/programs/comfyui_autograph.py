"""Makes a picture with comfyui-autograph: reads the node types, posts, listens."""

import sys
from pathlib import Path

from autograph import ApiFlow

url, graph, folder = sys.argv[1:]
flow = ApiFlow(graph)
done = flow.submit(server_url=url, wait=True)
done.fetch_images().save(str(Path(folder, "picture.###.png")))
