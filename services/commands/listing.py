"""`studio nodes` and `studio models`: what this house can do, and with which files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from libs.core.errors import NotFound
from libs.settings import Settings
from services.commands.client import DEMO_FOLDER, StudioClient
from services.commands.console import err, out, plain_errors, print_json
from services.commands.finding import running_url

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


@plain_errors
def nodes(
    name: Annotated[str, typer.Argument(help="Only node types whose name contains this.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the node types that ship with the house; no house need run.

    Example: studio nodes KSampler --json
    """
    from libs.nodes.registry import schemas

    found = [
        schema for key, schema in sorted(schemas().items()) if name.casefold() in key.casefold()
    ]
    if as_json:
        print_json(
            [
                {
                    "type": schema.type,
                    "category": schema.category,
                    "description": schema.description,
                    "inputs": {spec.name: spec.type for spec in schema.inputs},
                    "outputs": {spec.name: spec.type for spec in schema.outputs},
                }
                for schema in found
            ]
        )
        return
    table = Table("node type", "category", "inputs", "outputs", box=None)
    for schema in found:
        table.add_row(
            schema.type,
            schema.category,
            " ".join(spec.name for spec in schema.inputs),
            " ".join(spec.name for spec in schema.outputs),
        )
    out.print(table)


models = typer.Typer(
    invoke_without_command=True,
    help="List model files, or import one.\n\nExample: studio models",
)


@models.callback()
@plain_errors
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the model files that the running fleet holds, by folder.

    Example: studio models
    """
    if context.invoked_subcommand is not None:
        return
    client = StudioClient(running_url(Settings()))
    folders: dict[str, list[Any]] = {
        folder: client.get(f"/models/{folder}") for folder in client.get("/models")
    }
    if as_json:
        print_json(folders)
        return
    for folder, names in folders.items():
        for name in names:
            out.print(f"{folder}/{name}", markup=False)
    if (DEMO_FOLDER / "card.json").exists():
        _tell_what_the_demo_knows()


@models.command("import")
@plain_errors
def import_model(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A .ckpt, .pt or .pth.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="The file to write; beside the old one unless said.")
    ] = None,
) -> None:
    """Make a .safetensors file of a pickled one, if a scan finds that it holds nothing but tensors.

    No code in the file is run. Example: studio models import models/upscale/4x-UltraSharp.pth
    """
    from libs.diffusion.importing import import_pickle

    target = to or file.with_suffix(".safetensors")
    count = import_pickle(file, target)
    out.print(f"{target}: {count} tensors; the scan of {file.name} was clean", markup=False)


@models.command("export")
@plain_errors
def export_model(
    checkpoint: Annotated[
        str, typer.Argument(help="A file in models/checkpoints, or the path of one elsewhere.")
    ],
    as_json: AsJson = False,
) -> None:
    """Export a checkpoint for workers without torch; graphs go on naming the checkpoint.

    Example: studio models export hanzo-demo-64.safetensors
    """
    from libs.diffusion.export import export
    from libs.weights.exported import place_of

    house = Settings().home / "models"
    inside, path = house / "checkpoints" / checkpoint, Path(checkpoint)
    shipped = DEMO_FOLDER / checkpoint
    source = next((file for file in (inside, path, shipped) if file.is_file()), None)
    if source is None:
        raise NotFound("there is no such checkpoint", file=checkpoint, looked_in=str(inside.parent))
    name = checkpoint if source in (inside, shipped) else source.name
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("exporting", total=None)

        def said(part: str, done: int, total: int) -> None:
            progress.update(task, description=f"exporting {part}", completed=done, total=total)

        manifest = export(source, place_of(house, name), said)
    if as_json:
        print_json({"name": name, "manifest": str(manifest)})
    else:
        out.print(f"{manifest.parent}: workers without torch now offer {name}", markup=False)


def _tell_what_the_demo_knows() -> None:
    card = json.loads((DEMO_FOLDER / "card.json").read_text(encoding="utf-8"))
    out.print(f"\n{card['name']} is small and knows only:", markup=False)
    for kind in ("shapes", "colours", "objects", "scenes"):
        out.print(f"  {kind}: {', '.join(card['knows'][kind])}", markup=False)
    out.print(f'  for example "{card["knows"]["sentences"][0]}"', markup=False)


@models.command("architectures")
@plain_errors
def list_architectures(as_json: AsJson = False) -> None:
    """List the kinds of models that are known, with what each wants; no house need run.

    Example: studio models architectures
    """
    from libs.graph.architectures import ARCHITECTURES

    if as_json:
        print_json([asdict(facts) for facts in ARCHITECTURES])
        return
    table = Table("kind", "resolution", "memory", "status", "variants", "LoRA", box=None)
    for facts in ARCHITECTURES:
        gone = [f"{name} (unavailable: {why})" for name, why in facts.unavailable.items()]
        table.add_row(
            facts.title,
            facts.resolution,
            facts.vram,
            facts.status,
            ", ".join([*facts.variants, *gone]),
            "yes" if facts.lora_compatible else "no",
        )
    out.print(table)
