"""An engine without torch that imports node packs as the real one does, and serves nothing."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

from libs.core.jsonvalue import Json
from libs.graph.schema_json import to_json
from libs.nodes.packs.finder import OFFERED
from libs.nodes.packs.loading import Watch, load_packs
from libs.telemetry.logs import set_up_logs
from services.gpu_worker import dying
from services.gpu_worker.frames import Link
from services.gpu_worker.importing import IMPORTING, LEFT_OUT


class Unchanged:
    """Hands values on as they are."""

    def theirs(self, value: object) -> object:
        return value

    def ours(self, value: object, _socket_type: str) -> object:
        return value


def main() -> None:
    """Say hello, with what the folder holds."""
    set_up_logs("engine")
    threading.excepthook = dying.end_with_thread
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    watch = Watch(
        lambda name: link.send(IMPORTING, {"pack": name}),
        left_out=json.loads(os.environ[LEFT_OUT]),
    )
    folder = Path(os.environ["STUDIO_ENGINE_NODE_PACKS"])
    packs = load_packs(folder, OFFERED, Unchanged(), {}, watch)
    facts: list[Json] = [{"name": p.name, "types": [*p.types], "error": p.error} for p in packs]
    schemas = [to_json(found.schema) for pack in packs for found in pack.types.values()]
    link.send("hello", {"packs": facts, "cwd": str(Path.cwd())}, json.dumps(schemas).encode())
    while link.read() is not None:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
