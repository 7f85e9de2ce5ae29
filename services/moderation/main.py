"""Moderation's table of contents."""

from __future__ import annotations

from pathlib import Path

from libs.chassis.service import Resources, Service
from libs.core.errors import Misconfigured
from libs.events.execution import NodeFinished
from libs.events.prompt import PromptSubmitted
from libs.events.verdict import PromptValidated
from services.moderation.classifiers import OpenNsfw
from services.moderation.domain.text import Blocklist, parse_blocklist
from services.moderation.handlers import Moderation
from services.moderation.settings import ModerationSettings

OWN_BLOCKLIST = Path(__file__).with_name("blocklist.txt")


def build(resources: Resources, settings: ModerationSettings | None = None) -> Service:
    """Wire moderation on real adapters."""
    settings = settings or ModerationSettings()
    moderation = Moderation(
        journal=resources.bus.journal,
        artifacts=resources.artifacts,
        vault=resources.vault,
        classifier=OpenNsfw(settings.classify_at_once),
        blocklist=read_blocklist(settings.blocklist or OWN_BLOCKLIST),
        thresholds={"nudity": settings.nudity_threshold},
    )
    return Service(
        name="moderation",
        reacts={
            PromptSubmitted: moderation.on_prompt_submitted,
            PromptValidated: moderation.on_prompt_validated,
            NodeFinished: moderation.on_node_finished,
        },
    )


def read_blocklist(path: Path) -> Blocklist:
    """Read the blocklist file; Misconfigured names the file that cannot be read."""
    try:
        return parse_blocklist(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            "the blocklist cannot be read", file=str(path), reason=str(error)
        ) from error
