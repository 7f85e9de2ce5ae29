"""`studio generate`: a sentence in, a picture out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from libs.core.errors import Refused, StudioError, Unavailable
from libs.settings import Settings
from services.commands.client import Frame, StudioClient, demo_graph
from services.commands.console import err, out, plain_errors, print_json
from services.commands.finding import running_url

SEED_MAX = 2**53 - 1


@dataclass(frozen=True)
class Made:
    """A picture that was made, and what is known of it."""

    prompt_id: str
    path: Path
    seed: int
    usage: dict[str, Any]


@plain_errors
def generate(
    text: Annotated[str, typer.Argument(help="What the picture shows.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the PNG goes.")
    ] = None,
    negative: Annotated[str, typer.Option(help="What it should not show.")] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, max=SEED_MAX, help="Same seed, same picture.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint file; `studio models` lists them.")
    ] = None,
    token: Annotated[
        str, typer.Option(help="API key, where the house wants one; else HANZO_API_KEY.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Make one picture of a sentence.

    Example: studio generate "a red circle on blue" -o circle.png
    """
    settings = Settings()
    key = token or settings.hanzo_api_key.get_secret_value()
    client = StudioClient(running_url(settings), key)
    made = make(client, text, output, negative=negative, seed=seed, model=model)
    if as_json:
        print_json(told(made))
        return
    tell(made)


def told(made: Made) -> dict[str, Any]:
    """Return for a program what `tell` says to a person."""
    return {
        "prompt_id": made.prompt_id,
        "file": str(made.path),
        "seed": made.seed,
        "usage": made.usage,
    }


def tell(made: Made) -> None:
    """Say in lines for a person where the picture lies and what it cost."""
    out.print(f"picture: [bold]{made.path}[/bold]")
    if made.usage:
        seconds = made.usage.get("compute_ms", 0) / 1000
        out.print(
            f"cost:    {made.usage['cost_credits']:.4f} credits "
            f"(${made.usage['cost_usd']:.6f}), {seconds:.1f} s of compute"
        )
    out.print(f"seed:    {made.seed}")
    out.print(f"story:   studio story {made.prompt_id}", style="dim")


def make(
    client: StudioClient,
    text: str,
    output: Path | None,
    *,
    negative: str = "",
    seed: int | None = None,
    model: str | None = None,
) -> Made:
    """Submit, show progress, fetch and write; raise what went wrong as one of our errors."""
    drawn = secrets.randbelow(SEED_MAX) if seed is None else seed
    graph = demo_graph(text, negative=negative, seed=drawn, checkpoint=model)
    prompt_id = _watch(client, graph)
    pictures = client.pictures(prompt_id)
    if not pictures:
        raise Unavailable("the prompt made no picture", prompt_id=prompt_id)
    path = output or Path(pictures[0].filename)
    try:
        path.write_bytes(pictures[0].data)
    except OSError as error:
        raise Refused(
            "the picture cannot be written there", path=str(path), reason=str(error)
        ) from error
    entry = client.get(f"/api/history?prompt_id={prompt_id}").get(prompt_id, {})
    return Made(prompt_id, path.absolute(), drawn, entry.get("usage") or {})


def _watch(client: StudioClient, graph: Any) -> str:
    prompt_id = ""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("waiting for a worker", total=None)
        for frame in client.follow(graph):
            if frame.type == "submitted":
                prompt_id = frame.data["prompt_id"]
            elif frame.type == "executing" and frame.data.get("node"):
                node = graph.get(frame.data["node"], {})
                bar.update(task, description=node.get("class_type", "executing"), total=None)
            elif frame.type == "progress":
                bar.update(task, completed=frame.data["value"], total=frame.data["max"])
            elif frame.type in {"execution_error", "execution_interrupted"}:
                raise _failure(frame, prompt_id)
    return prompt_id


def _failure(frame: Frame, prompt_id: str) -> StudioError:
    if frame.type == "execution_interrupted":
        return Refused("the prompt was cancelled", prompt_id=prompt_id)
    return Refused(
        frame.data.get("exception_message") or "the prompt failed",
        node=frame.data.get("node_id"),
        kind=str(frame.data.get("exception_type") or "failed"),
        prompt_id=prompt_id,
    )
