"""`studio demo`: from nothing to a picture, and nothing left running."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from libs.settings import Settings
from libs.telemetry.logs import set_up_logs
from libs.telemetry.settings import TelemetrySettings
from services.commands.client import StudioClient
from services.commands.console import err, out, plain_errors, print_json
from services.commands.generate import make, tell, told
from services.commands.story import print_story


@plain_errors
def demo(
    text: Annotated[
        str, typer.Argument(help="What the picture shows.")
    ] = "a red circle on a blue background",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the PNG goes.")] = Path(
        "demo.png"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same picture.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Start the house, make one picture, tell its story, and stop the house again.

    Example: studio demo "a fox in the snow" -o fox.png
    """
    # The story is told at the end; on the way only what goes wrong is worth a line.
    os.environ.setdefault("STUDIO_LOG_LEVEL", "warning")
    settings = Settings()
    set_up_logs("demo", settings.log_level, form=TelemetrySettings().log)
    asyncio.run(_demo(settings, text, output, seed, as_json=as_json))


async def _demo(settings: Settings, text: str, output: Path, seed: int, *, as_json: bool) -> None:
    from services.commands.living import live

    began = time.monotonic()
    err.print("starting NATS, PostgreSQL, S3, the services and a worker", style="dim")
    async with live(settings, port=0) as living:
        err.print(f"ready after {time.monotonic() - began:.1f} s", style="dim")
        client = StudioClient(living.url)
        made = await asyncio.to_thread(make, client, text, output, seed=seed)
        if as_json:
            print_json(told(made))
        else:
            out.print(f'"{text}"', markup=False)
            tell(made)
            await print_story(Settings(), made.prompt_id, as_json=False)
    err.print(f"nothing is left running ({time.monotonic() - began:.1f} s in all)", style="dim")
