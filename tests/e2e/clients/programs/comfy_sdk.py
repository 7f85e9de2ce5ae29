"""Makes pictures with the official comfy-sdk, which speaks `/api/v2`: runs, streams, uploads."""

import json
import os
import sys
from pathlib import Path

from comfy_sdk import Comfy
from comfy_sdk.events import OutputReady, Progress, StatusChange
from comfy_sdk.exceptions import ComfyError

url, graph, folder = sys.argv[1:]
os.environ["COMFY_BASE_URL"] = url
client = Comfy()
workflow = client.workflows.from_file(graph)

# Run, and wait for the end by polling.
job = client.run(workflow)
drawn = job.get_outputs("picture")[0].to_file(Path(folder, "run.png"))
assert job.get_workflow().graph == json.loads(Path(graph).read_text())
assert client.jobs.get(job.id).status == "succeeded"
assert job.id in [found.id for found in client.list_jobs(limit=5)]
first_bytes = job.get_outputs("picture")[0].to_bytes(range=(0, 7))
assert first_bytes == drawn.read_bytes()[:8]

# Run, and follow it as it goes.
job = client.submit(workflow)
heard = list(job.events())
assert isinstance(heard[-1], StatusChange), heard
assert heard[-1].status == "succeeded", heard
made = [event.output for event in heard if isinstance(event, OutputReady)]
made[0].to_file(Path(folder, "events.png"))
assert all(0 <= event.value <= 1 for event in heard if isinstance(event, Progress))

# Use a picture of one's own; its bytes go over the wire once.
asset = client.assets.from_file(drawn)
turned = {
    "mine": {"class_type": "LoadImage", "inputs": {"image": asset}},
    "shown": {"class_type": "PreviewImage", "inputs": {"images": ["mine", 0]}},
}
job = client.run(client.workflows.from_json(turned))
assert [output.node_id for output in job.outputs] == ["shown"]
assert asset.created_new
again = client.assets.from_file(drawn)
assert again.commit() == asset.id
assert not again.created_new
client.assets.delete(asset.id)

# What is wrong is told by its name.
broken = {**json.loads(Path(graph).read_text())}
broken["sampler"]["inputs"]["steps"] = -1
refused = None
try:
    client.run(client.workflows.from_json(broken))
except ComfyError as error:
    refused = error
assert refused is not None
assert refused.code == "invalid_workflow", refused
assert "sampler" in refused.details["node_errors"], refused.details
