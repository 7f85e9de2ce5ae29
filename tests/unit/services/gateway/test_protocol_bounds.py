"""What holds for all routes and frames of ComfyUI's protocol at once."""

from __future__ import annotations

from pathlib import Path

import services
from libs.events.signals import Progress
from libs.graph.limits import NODES_MAX
from services.gateway.domain.frames import progress_state
from services.gateway.hub import text_of
from services.validator.domain.bounds import NODE_IDS_BYTES_MAX

# The largest message that Python's usual client takes unless it is told otherwise.
MESSAGE_BYTES_MAX = 1 << 20
PROMPT_ID = "0199c6a0-0000-7000-8000-000000000000"
# They open a shop of ComfyUI's makers in the editor.
SHOP = (
    "PAYMENT_REQUIRED",
    "Insufficient credits to queue workflows",
    "Payment Required: Please add credits",
)


def test_the_state_of_the_largest_graph_is_a_message_that_clients_take():
    letters = (NODE_IDS_BYTES_MAX // NODES_MAX - 3) // len("é".encode())
    names = [f"{number:03}" + "é" * letters for number in range(NODES_MAX)]
    steps = {
        name: Progress(
            prompt_id=PROMPT_ID,
            attempt=1,
            order=1,
            node_id=name,
            state="finished",
            value=10_000,
            total=10_000,
        )
        for name in names
    }
    message = text_of(progress_state(PROMPT_ID, steps), 2**53 - 1)
    assert len(message) < MESSAGE_BYTES_MAX


def test_no_refusal_opens_the_shop_of_the_editors_makers():
    folder = Path(services.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]
    assert len(sources) > 100
    assert not [words for words in SHOP if any(words in source for source in sources)]
