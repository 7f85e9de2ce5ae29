"""`studio`: one command for people, operators and process managers."""

from __future__ import annotations

import typer

from services.commands import audit, dead_letters, keys, serving
from services.commands.demo import demo
from services.commands.generate import generate
from services.commands.listing import models, nodes
from services.commands.settings import settings
from services.commands.story import story
from services.commands.up import up

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Hanzo Studio. `studio up` starts the whole house; `studio generate` makes a picture.",
)
for command in (up, demo, generate, story, nodes, settings):
    app.command()(command)
app.add_typer(models, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(dead_letters.app, name="dead-letters")
serving.register(app)


def main() -> None:
    """Run the command that was typed."""
    app()


if __name__ == "__main__":
    main()
