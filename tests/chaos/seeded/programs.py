"""What each process runs: the real handlers of every service, wired to memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from libs.chassis.service import Service
from libs.events.execution import NodeFinished
from libs.events.prompt import PromptSubmitted
from libs.events.run import RunEnded, RunRefused
from libs.events.signals import RECORDED_SUBJECT, Committed
from libs.events.verdict import PromptValidated
from libs.graph.schema import NodeSchema
from libs.nodes.registry import schemas
from libs.weights.folder import Inventory
from services.billing.domain.ledger import Account, Hold, grant_key
from services.billing.handlers import Billing
from services.gateway.admission import Admission
from services.gateway.commands import Commands
from services.gateway.hub import Hub
from services.gateway.live import Live
from services.gateway.rendering import Rendering
from services.gateway.settings import GatewaySettings
from services.gateway.telling import Telling
from services.gateway.withdrawal import Withdrawals
from services.gpu_worker.agent import Agent
from services.gpu_worker.files import Stored
from services.gpu_worker.settings import WorkerSettings
from services.moderation.domain.text import parse_blocklist
from services.moderation.handlers import Moderation
from services.scheduler.handlers import Scheduler
from services.scheduler.leadership import Leadership
from services.scheduler.settings import SchedulerSettings
from services.validator.handlers import Validator, Weights
from tests.chaos.seeded import clock
from tests.chaos.seeded.engine import NUDE, VirtualEngine
from tests.chaos.seeded.processes import Program, Reach

SILENCE_SECONDS = 10.0
ADMISSION_SECONDS = 10.0
WELCOME_CREDITS = 1
FORBIDDEN = "forbidden"
BLOCKLIST = parse_blocklist(f"policy: seeded\n[rules]\n{FORBIDDEN}\n", "the story")


class SeesNude:
    """A classifier that sees what the engine put in."""

    name = "sees-nude"

    async def scores(self, data: bytes, mime: str) -> Mapping[str, float]:
        return {"nudity": 1.0 if NUDE in data else 0.0}


class NoShelf:
    """Nobody uploads anything."""

    async def find(self, tenant: str, user: str, kind: str, name: str) -> Stored | None:
        return None


class NoModels:
    """A models folder with nothing in it."""

    def prepare(self) -> None:
        """Do nothing."""

    def scan(self) -> Inventory:
        return {}


def gateway(reach: Reach) -> Program:
    """Return a gateway without its HTTP: admission, commands, the live view."""
    settings = GatewaySettings(admission_wait_seconds=ADMISSION_SECONDS)
    vault, journal = reach.ground.vault, reach.bus.journal
    # The archive in memory answers what the gateway asks of the real one.
    archive = cast("Any", reach.archive)
    hub = Hub(settings.ws_sockets_max, settings.ws_frames_max)
    telling = Telling(hub, Rendering(vault), settings.signal_wait_seconds, clock.seconds)
    live = Live(reach.bus, archive, hub, telling)
    admission = Admission(journal, vault, archive, live, Withdrawals(journal), settings, clock.now)
    service = Service(
        name="gateway",
        tasks={
            "feed": live.follow,
            "recorded": live.hear_recorded,
            "checkpoint": live.poll_recorded,
            "progress": live.hear_progress,
            "tick": live.tick,
        },
    )
    return Program(service, (admission, Commands(journal, archive, live, settings)))


def validator(reach: Reach) -> Program:
    """Return a validator that knows all nodes and no weights."""

    async def weights() -> Weights:
        reach.ground.database.require()
        return {}, {}

    async def files(_tenant: str, _user: str, _asked: Iterable[str]) -> frozenset[str]:
        return frozenset()

    async def types() -> Mapping[str, NodeSchema]:
        return schemas()

    hands = Validator(
        journal=reach.bus.journal,
        vault=reach.ground.vault,
        types=types,
        weights=weights,
        files=files,
    )
    return Program(Service(name="validator", reacts={PromptSubmitted: hands.on_prompt_submitted}))


def moderation(reach: Reach) -> Program:
    """Return moderation with a word that blocks and a picture that blocks."""
    hands = Moderation(
        journal=reach.bus.journal,
        artifacts=reach.artifacts,
        vault=reach.ground.vault,
        classifier=SeesNude(),
        blocklist=BLOCKLIST,
        thresholds={"nudity": 0.85},
    )
    service = Service(
        name="moderation",
        reacts={
            PromptValidated: hands.on_prompt_validated,
            NodeFinished: hands.on_node_finished,
        },
    )
    return Program(service)


def billing(reach: Reach) -> Program:
    """Return billing, which starts each account from the archive."""

    async def cold(subject: str) -> tuple[Account, int]:
        known = await reach.archive.account(subject.split(".")[2], subject.split(".")[4])
        holds = {
            prompt_id: Hold(row.amount, row.images, row.day)
            for prompt_id, row in known.holds.items()
        }
        account = Account(
            opened=known.opened,
            balance=known.balance,
            holds=MappingProxyType(holds),
            closed=MappingProxyType(dict.fromkeys((*map(grant_key, known.grants), *known.settled))),
            images_by_day=MappingProxyType(dict(known.images_by_day)),
        )
        return account, known.seq

    hands = Billing(
        journal=reach.bus.journal,
        cold=cold,
        now=clock.now,
        welcome_credits=WELCOME_CREDITS,
    )
    service = Service(
        name="billing",
        reacts={
            PromptValidated: hands.on_prompt_validated,
            RunEnded: hands.on_run_ended,
            RunRefused: hands.on_run_refused,
        },
    )
    return Program(service, hands)


def scheduler(reach: Reach) -> Program:
    """Return a scheduler that leads when it can."""
    hands = Scheduler(
        bus=reach.bus,
        now=clock.now,
        settings=SchedulerSettings(),
        silence_seconds=SILENCE_SECONDS,
        start_seq=_patient_start(reach),
    )
    holder = f"{reach.wire.name}-{reach.life}"
    service = Service(
        name="scheduler",
        tasks={
            "follow": hands.follow,
            "listen": hands.listen,
            "tick": hands.tick,
            "lead": Leadership(hands, holder=holder).run,
        },
    )
    return Program(service, hands)


def recorder(reach: Reach) -> Program:
    """Return a plain recorder: each batch is one transaction on the read models."""

    async def follow() -> None:
        models = reach.ground.database.models
        async for batch in reach.bus.feed(start_seq=models.seq + 1, batch_max=20):
            await reach.wire.reach()
            reach.ground.database.require()
            models.apply(batch.events)
            committed = Committed(stream="EVENTS", seq=models.seq)
            await reach.bus.signal(RECORDED_SUBJECT, committed.model_dump_json().encode())

    return Program(Service(name="recorder", tasks={"follow": follow}))


def worker(reach: Reach) -> Program:
    """Return the real agent, with an engine in virtual time."""
    slot = reach.wire.name
    worker_id = f"{slot}-{reach.life}"
    engine = VirtualEngine(worker_id, reach.ground.world.weather, reach.ground.nude)
    agent = Agent(
        worker_id=worker_id,
        bus=reach.bus,
        artifacts=reach.artifacts,
        vault=reach.ground.vault,
        shelf=NoShelf(),
        engine=cast("Any", engine),
        folder=cast("Any", NoModels()),
        settings=WorkerSettings(
            slot=slot,
            scan_seconds=60.0,
            batch=reach.ground.runs_at_once,
            profile="fast" if reach.ground.runs_at_once > 1 else "exact",
        ),
        now=clock.now,
        heartbeat_seconds=2.0,
        drain_seconds=5.0,
    )
    return Program(Service(name="gpu_worker", tasks={"work": agent.run}), engine)


def _patient_start(reach: Reach) -> Any:
    async def start_seq() -> int:
        if reach.ground.world.weather.happens(0.3):
            # As when the database is down at start: everything is read.
            return 1
        return await reach.archive.start_seq()

    return start_seq
