"""Spans: what was done for which prompt, when, and because of what.

A span is named by a `traceparent`, the same text that rides in every event's envelope. Without
an exporter nothing is recorded: the traceparent that began a story is carried on as it is, so
that events and log lines of one prompt still tell the same trace.
"""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from libs.telemetry.scope import (
    NOWHERE,
    SCOPE,
    SERVICE,
    Scope,
    is_sampled,
    new_traceparent,
    trace_id,
)

Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]
Value: TypeAlias = str | int | float | bool


class Recording(Protocol):
    """A span that is being recorded."""

    @property
    def traceparent(self) -> str: ...
    def rename(self, name: str) -> None: ...
    def note(self, name: str, value: Value) -> None: ...
    def fail(self, kind: str) -> None: ...
    def end(self, at_ns: int | None) -> None: ...


class Recorder(Protocol):
    """Begins spans; there is one in a process that exports, and none in any other."""

    def begin(
        self, service: str, name: str, kind: Kind, parent: str, at_ns: int | None
    ) -> Recording: ...

    def shut_down(self, seconds: float) -> None: ...


class _Switch:
    """Whether this process records."""

    recorder: Recorder | None = None
    process: str = ""


class Span:
    """A piece of work, as a block; nothing but its place is known when nobody records it."""

    __slots__ = ("_recording", "_scope", "_token")

    def __init__(self, scope: Scope, recording: Recording | None = None) -> None:
        self._scope = scope
        self._recording = recording
        self._token: Token[Scope] | None = None

    @property
    def traceparent(self) -> str:
        """What follows from this work names this as its parent."""
        return self._scope.trace

    @property
    def recorded(self) -> bool:
        """Say whether anybody will see it."""
        return self._recording is not None

    def note(self, **facts: Value) -> None:
        """Add facts; never words of people, and nothing that opens a door."""
        if self._recording is not None:
            for name, value in facts.items():
                self._recording.note(attribute(name), value)

    def rename(self, name: str) -> None:
        """Give it the name that was not known when it began."""
        if self._recording is not None:
            self._recording.rename(name)

    def fail(self, kind: str) -> None:
        """Say that it failed, and with what kind of error; never with which words."""
        if self._recording is not None:
            self._recording.fail(kind)

    def end(self, at_ns: int | None = None) -> None:
        """End it; a block does so by itself."""
        if self._recording is not None:
            self._recording.end(at_ns)

    def __enter__(self) -> Self:
        self._token = SCOPE.set(self._scope)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            SCOPE.reset(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        self.end()


def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str = "",
    tenant: str = "",
    prompt_id: str = "",
    began_ns: int | None = None,
    **facts: Value,
) -> Span:
    """Begin a span below the one in hand, or below `parent` when that is of another trace.

    Without either it is no part of any story, and nothing is recorded.
    """
    return _begun(name, kind, _below(parent, tenant, prompt_id), began_ns, facts)


def root(name: str, *, kind: Kind = "server", **facts: Value) -> Span:
    """Begin a trace; whether it is recorded is decided here, once for the whole story."""
    recorder = _Switch.recorder
    if recorder is None:
        return Span(Scope(new_traceparent()))
    return _recorded(recorder, name, kind, NOWHERE, None, facts)


def record(
    name: str,
    began_ns: int,
    ended_ns: int,
    *,
    kind: Kind = "internal",
    parent: str = "",
    tenant: str = "",
    prompt_id: str = "",
    failed: str = "",
    **facts: Value,
) -> str:
    """Record what is over already, below `parent`; return what is the parent of its parts."""
    mine = SCOPE.get()
    scope = Scope(parent or mine.trace, tenant or mine.tenant, prompt_id or mine.prompt_id)
    done = _begun(name, kind, scope, began_ns, facts)
    if failed:
        done.fail(failed)
    done.end(ended_ns)
    return done.traceparent


def current() -> str:
    """Return the traceparent of the work in hand."""
    return SCOPE.get().trace


def recording(traceparent: str) -> bool:
    """Say whether spans below `traceparent` would be recorded here."""
    return _Switch.recorder is not None and is_sampled(traceparent)


def attribute(name: str) -> str:
    """Return the name of a fact on the wire: ours have a prefix, standard ones have dots."""
    return name.replace("__", ".") if "__" in name else f"studio.{name}"


def set_up_tracing(process: str, recorder: Recorder | None) -> None:
    """Name the process, and let spans go to `recorder` from now on."""
    _Switch.process, _Switch.recorder = process, recorder


def shut_down_tracing(seconds: float) -> None:
    """Send what is recorded and not sent yet, within a bound."""
    recorder, _Switch.recorder = _Switch.recorder, None
    if recorder is not None:
        recorder.shut_down(seconds)


def _below(parent: str, tenant: str, prompt_id: str) -> Scope:
    mine = SCOPE.get()
    if parent and trace_id(mine.trace) != trace_id(parent):
        return Scope(parent, tenant, prompt_id)
    return Scope(mine.trace, tenant or mine.tenant, prompt_id or mine.prompt_id)


def _begun(
    name: str, kind: Kind, scope: Scope, began_ns: int | None, facts: dict[str, Value]
) -> Span:
    recorder = _Switch.recorder
    if recorder is None or not is_sampled(scope.trace):
        return Span(scope)
    return _recorded(recorder, name, kind, scope, began_ns, facts)


def _recorded(
    recorder: Recorder,
    name: str,
    kind: Kind,
    scope: Scope,
    began_ns: int | None,
    facts: dict[str, Value],
) -> Span:
    service = SERVICE.get() or _Switch.process
    made = recorder.begin(service, name, kind, scope.trace, began_ns)
    done = Span(Scope(made.traceparent, scope.tenant, scope.prompt_id), made)
    if scope.tenant:
        facts["tenant"] = scope.tenant
    if scope.prompt_id:
        facts["prompt_id"] = scope.prompt_id
    done.note(**facts)
    return done
