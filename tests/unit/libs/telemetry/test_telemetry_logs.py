"""A log line is one object, names what it is about, and holds nothing that people typed."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import uvicorn

from libs.core.errors import NotFound, Unavailable
from libs.telemetry.logs import name_worker, set_up_logs
from libs.telemetry.process import name_service
from libs.telemetry.recent import RECENT, Recent
from libs.telemetry.scope import SCOPE, SERVICE, Scope

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def back_to_normal() -> Iterator[None]:
    """Leave logging as pytest had it."""
    root, hook, thread_hook = logging.getLogger(), sys.excepthook, threading.excepthook
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hook, thread_hook


@pytest.fixture
def sink() -> io.StringIO:
    return io.StringIO()


def lines(sink: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_line_is_one_object_and_begins_with_time_level_service_and_event(sink):
    set_up_logs("validator", sink=sink)
    structlog.get_logger("x").info("running", services=["validator"])
    (line,) = lines(sink)
    assert list(line)[:4] == ["time", "level", "service", "event"]
    assert line | {"time": ""} == {
        "time": "",
        "level": "info",
        "service": "validator",
        "event": "running",
        "services": ["validator"],
    }


def test_a_line_names_the_prompt_and_the_trace_in_hand_and_the_worker(sink):
    set_up_logs("gpu_worker", sink=sink)
    name_worker("place-1")
    token = SCOPE.set(Scope(TRACE, "acme", "p-1"))
    try:
        structlog.get_logger("x").warning("waiting")
        structlog.get_logger("x").warning("of_another", prompt_id="p-2")
    finally:
        SCOPE.reset(token)
    first, second = lines(sink)
    assert first["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (first["tenant"], first["prompt_id"], first["worker_id"]) == ("acme", "p-1", "place-1")
    assert second["prompt_id"] == "p-2"


def test_services_that_share_a_process_are_told_apart(sink):
    set_up_logs("house", sink=sink)
    structlog.get_logger("x").info("one")
    token = SERVICE.set("")
    try:
        name_service("billing")
        structlog.get_logger("x").info("two")
    finally:
        SERVICE.reset(token)
    assert [line["service"] for line in lines(sink)] == ["house", "billing"]


def test_lines_of_libraries_and_warnings_take_the_same_form(sink):
    set_up_logs("gateway", sink=sink)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request %s", "received")
    logging.getLogger("sqlalchemy.engine").info("SELECT secret_words")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    http, warned = lines(sink)
    assert http["event"] == "Invalid HTTP request received"
    assert (http["logger"], http["level"], http["service"]) == (
        "uvicorn.error",
        "warning",
        "gateway",
    )
    assert warned["logger"] == "py.warnings"


def test_a_library_that_goes_its_own_way_is_brought_back(sink):
    own, showwarning = io.StringIO(), warnings.showwarning
    set_up_logs("gateway", sink=io.StringIO())
    warnings.showwarning = showwarning
    uvicorn.Config("an:app")
    stray = logging.getLogger("stray")
    stray.handlers[:] = [logging.StreamHandler(own)]
    stray.propagate, stray.disabled = False, True
    stray.setLevel(logging.DEBUG)
    set_up_logs("gateway", sink=sink)
    logging.getLogger("uvicorn.error").warning("one")
    stray.debug("too much")
    stray.warning("two")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("three", UserWarning, stacklevel=1)
    assert [line["logger"] for line in lines(sink)] == ["uvicorn.error", "stray", "py.warnings"]
    assert own.getvalue() == ""


def test_a_terminal_gets_lines_for_people_unless_json_is_wanted():
    person, program = Terminal(), Terminal()
    set_up_logs("up", sink=person)
    structlog.get_logger("x").info("running")
    set_up_logs("up", sink=program, form="json")
    structlog.get_logger("x").info("running")
    assert "running" in person.getvalue()
    assert not person.getvalue().startswith("{")
    assert json.loads(program.getvalue())["event"] == "running"


def test_lines_can_be_wanted_where_there_is_no_terminal(sink):
    set_up_logs("up", sink=sink, form="lines")
    structlog.get_logger("x").info("running", port=8188)
    assert "port=8188" in sink.getvalue()
    assert "\x1b[" not in sink.getvalue()


@pytest.mark.parametrize("speaker", ["ours", "library"])
def test_an_error_is_told_by_kind_and_place_and_never_by_what_it_quotes(sink, speaker):
    set_up_logs("validator", sink=sink)
    try:
        try:
            int("a photo of Zanzibar")
        except ValueError as error:
            raise RuntimeError("cannot read 'a photo of Zanzibar'") from error
    except RuntimeError:
        if speaker == "ours":
            structlog.get_logger("x").exception("failed")
        else:
            logging.getLogger("asyncio").exception("failed")
    (line,) = lines(sink)
    assert "Zanzibar" not in sink.getvalue()
    assert (line["error_type"], line["cause_type"]) == ("RuntimeError", "ValueError")
    assert "test_telemetry_logs.py" in line["error_at"][-1]


def test_our_own_words_are_told_and_the_facts_beside_them_are_not(sink):
    set_up_logs("gpu_worker", sink=sink)
    error = NotFound("there is no such file", name="zanzibar.png")
    structlog.get_logger("x").error("failed", exc_info=error)
    structlog.get_logger("x").error("down", exc_info=ConnectionRefusedError(111, "refused"))
    found, refused = lines(sink)
    assert found["error_words"] == "there is no such file"
    assert "zanzibar" not in sink.getvalue()
    assert refused["error_words"] == "refused"


def test_an_error_that_ends_the_process_is_a_line_as_well(sink):
    set_up_logs("recorder", sink=sink)
    error = Unavailable("no server answers", host="db")
    sys.excepthook(type(error), error, None)
    (line,) = lines(sink)
    assert (line["event"], line["level"]) == ("process_ends", "critical")
    assert line["error_words"] == "no server answers"


def test_an_error_that_ends_a_thread_is_told_without_its_words(sink):
    set_up_logs("gpu_worker", sink=sink)

    def fail() -> None:
        raise ValueError("a photo of Zanzibar")

    thread = threading.Thread(target=fail, name="hear")
    thread.start()
    thread.join()
    (line,) = lines(sink)
    assert (line["event"], line["thread"], line["error_type"]) == (
        "thread_ended",
        "hear",
        "ValueError",
    )
    assert "Zanzibar" not in sink.getvalue()


@pytest.mark.parametrize(
    "told",
    [
        "key sk-hanzo-abcdef123456-0123456789abcdefABCDEF",
        "Authorization: Bearer abc.def-ghi_jkl",
        "postgresql://studio:hunter2hunter2@127.0.0.1/studio",
        "the master key is bWFzdGVyLWtleS1tYXN0ZXI=",
    ],
)
def test_a_secret_never_comes_through(sink, told):
    set_up_logs("gateway", sink=sink, secrets=["bWFzdGVyLWtleS1tYXN0ZXI=", ""])
    structlog.get_logger("x").info("said", words=told)
    logging.getLogger("nats").error(told)
    assert len(lines(sink)) == 2
    for secret in ("0123456789abcdefABCDEF", "abc.def", "hunter2", "bWFzdGVy"):
        assert secret not in sink.getvalue()


def test_a_text_that_would_fill_the_log_is_cut(sink):
    set_up_logs("gateway", sink=sink)
    structlog.get_logger("x").info("said", words="x" * 100_000, nested=["y" * 100_000])
    assert len(sink.getvalue()) < 5_000


def test_what_is_written_is_remembered_as_it_was_written(sink):
    set_up_logs("gateway", sink=sink, secrets=["hunter22"])
    structlog.get_logger("x").warning("told", word="hunter22", key="sk-hanzo-" + "0" * 68)
    newest = RECENT.after()[-1].text
    assert sink.getvalue() == f"{newest}\n"
    assert "told" in newest
    assert "hunter22" not in newest


def test_the_memory_of_lines_is_bounded_and_goes_on_from_a_line():
    recent = Recent(lines_max=2)
    for text in ("one", "two", "three"):
        recent.add(text)
    assert [line.text for line in recent.after()] == ["two", "three"]
    assert [line.text for line in recent.after(2)] == ["three"]


def test_lines_follow_standard_error_when_it_is_replaced(monkeypatch):
    first = io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    set_up_logs("validator")
    log = structlog.get_logger()
    log.info("before")
    first.close()
    second = io.StringIO()
    monkeypatch.setattr(sys, "stderr", second)
    log.info("after")
    logging.getLogger("uvicorn").warning("from a library")
    assert '"event": "after"' in second.getvalue()
    assert "from a library" in second.getvalue()
