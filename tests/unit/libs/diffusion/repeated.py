"""A process that executes graphs over files at hand: `python -m ... ROOT GRAPHS.json`.

Prints the sha256 of each graph's pictures, and the fingerprint of the process.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from libs.diffusion.determinism import fingerprint, pin
from libs.diffusion.placement import Placement
from tests.unit.libs.diffusion.test_diffusion_graphs import pictures


def main() -> None:
    root, graphs = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    pin(torch.get_num_threads())
    made = {
        name: [hashlib.sha256(data).hexdigest() for data in pictures(root, graph)]
        for name, graph in graphs.items()
    }
    facts = fingerprint({}, Placement.cpu(), 0)
    sys.stdout.write(json.dumps({"pictures": made, "fingerprint": facts}))


if __name__ == "__main__":
    main()
