"""I3 and I10: what is delivered is whole and its owner's, and nothing else is ever served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from tests.chaos.checker.evidence import Breach, Event, Evidence, Key, Shown, end_of, of_type

HIDDEN = frozenset({401, 403, 404})
Place: TypeAlias = tuple[str, int]
Made: TypeAlias = dict[Place, dict[str, Any]]


def check_outputs(evidence: Evidence) -> Iterator[Breach]:
    """Hold events, blobs and the history of each prompt that ended against each other."""
    for key, story in evidence.stories.items():
        end = end_of(story)
        if end is None:
            continue
        if end.data["outcome"] == "succeeded":
            yield from _delivered(key, story, end, evidence)
        if key in evidence.shown:
            yield from _shown(key, story, end, evidence.shown[key])
        elif end.data["outcome"] == "succeeded":
            yield Breach("I3", "lost", "it succeeded and is not in the history", key)


def _made(story: Sequence[Event], attempt: int) -> Made:
    return {
        (event.data["node_id"], output["index"]): output
        for event in of_type(story, "NodeFinished")
        if event.attempt == attempt
        for output in event.data["outputs"]
    }


def _judged(story: Sequence[Event], attempt: int, kind: str) -> dict[Place, Event]:
    return {
        (event.data["node_id"], event.data["index"]): event
        for event in of_type(story, kind)
        if event.attempt == attempt
    }


def _delivered(
    key: Key, story: Sequence[Event], end: Event, evidence: Evidence
) -> Iterator[Breach]:
    finished = [e for e in of_type(story, "ExecutionFinished") if e.attempt == end.attempt]
    made = _made(story, end.attempt)
    released = _judged(story, end.attempt, "OutputReleased")
    if len(finished) != 1:
        about = f"attempt {end.attempt} finished {len(finished)} times"
        yield Breach("I3", "doubled" if finished else "broken", about, key)
    elif finished[0].data["outputs"] != len(made):
        about = f"{finished[0].data['outputs']} outputs were announced, {len(made)} made"
        yield Breach("I3", "lost", about, key)
    if set(made) != set(released):
        yield Breach("I3", "broken", f"made {set(made)}, released {set(released)}", key)
    for place, event in released.items():
        stored = evidence.blobs.get(event.data["artifact"])
        if stored is None:
            yield Breach("I3", "lost", f"output {place} is not in S3", key)
        elif not stored == event.data["sha256"] == made.get(place, {}).get("sha256"):
            yield Breach("I3", "broken", f"output {place} has other bytes in S3", key)


def _shown(
    key: Key, story: Sequence[Event], end: Event, files: Sequence[Shown]
) -> Iterator[Breach]:
    made = _made(story, end.attempt)
    released = _judged(story, end.attempt, "OutputReleased")
    wanted = {
        _name(place[0], made[place]): made[place]["sha256"] for place in released if place in made
    }
    found = {(f.node_id, f.folder, f.subfolder, f.filename): f for f in files}
    if len(found) != len(files):
        yield Breach("I3", "doubled", "the history lists a file twice", key)
    for name in wanted.keys() - found.keys():
        yield Breach("I3", "lost", f"the history does not list {name}", key)
    for name, file in found.items():
        if name not in wanted:
            about = f"the history lists {name}, which attempt {end.attempt} did not release"
            yield Breach("I3", "broken", about, key)
        elif file.status != 200:
            yield Breach("I3", "lost", f"{name} is answered with {file.status}", key)
        elif file.sha256 != wanted[name]:
            yield Breach("I3", "broken", f"{name} is served with other bytes", key)


def _name(node_id: str, output: dict[str, Any]) -> tuple[str, str, str, str]:
    return (node_id, output["folder"], output["subfolder"], output["filename"])


def check_walls(evidence: Evidence) -> Iterator[Breach]:
    """Nothing that was asked for from the wrong side may have been answered."""
    for glimpse in evidence.glimpses:
        if glimpse.saw:
            said = f"{glimpse.what} was answered with {glimpse.status}"
            yield Breach("I10", "broken", said, glimpse.prompt)
    for key, story in evidence.stories.items():
        for event in of_type(story, "OutputBlocked"):
            output = _made(story, event.attempt).get((event.data["node_id"], event.data["index"]))
            if output is None:
                continue
            place = output["artifact"].rpartition("/")[2]
            for blob in evidence.blobs:
                tokens = blob.split("/")
                if tokens[0] == "outputs" and tokens[3:] == [key[1], str(event.attempt), place]:
                    yield Breach("I10", "broken", f"a blocked output lies at {blob}", key)


def forbidden_files(story: Sequence[Event]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the files of a story that its own owner must not see, and why."""
    end = end_of(story)
    if end is None:
        return
    seen = {_name("", made) for made in _made(story, end.attempt).values()}
    for event in of_type(story, "LeaseGranted"):
        for place, output in _made(story, event.attempt).items():
            if place in _judged(story, event.attempt, "OutputBlocked"):
                yield "a blocked output", output
            elif event.attempt != end.attempt and _name("", output) not in seen:
                yield "an output of another attempt", output
