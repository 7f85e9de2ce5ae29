"""The blocklist over the words of a graph (R344), blind to spelling tricks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from libs.core.errors import Misconfigured
from libs.core.jsonvalue import Json
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.graph.value import Graph, Link

_LOOKALIKES: Final = str.maketrans(
    {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"}
)
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_NOT_WORD: Final = re.compile(r"[^\w]+")
# A single letter between separators is how people spell a word out to hide it.
_SPELLED_OUT: Final = re.compile(r"\b(?:\w ){2,}\w\b")


@dataclass(frozen=True)
class Blocklist:
    """Patterns by category; `policy` names the version that a clearance was given under."""

    policy: str
    patterns: Mapping[str, re.Pattern[str]]

    def category_of(self, text: str) -> str | None:
        """Return the first category that `text` falls into, or None."""
        for form in forms_of(text):
            for category, pattern in self.patterns.items():
                if pattern.search(form):
                    return category
        return None


def forms_of(text: str) -> tuple[str, ...]:
    """Return the shapes of `text` that the blocklist is held against."""
    folded = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text)).casefold()
    folded = "".join(letter for letter in folded if not unicodedata.combining(letter))
    plain = _NOT_WORD.sub(" ", folded).replace("_", " ").strip()
    lookalike = _NOT_WORD.sub(" ", folded.translate(_LOOKALIKES)).replace("_", " ").strip()
    # An article before a spelled-out word looks like its first letter, so both readings count.
    joined = _SPELLED_OUT.sub(lambda found: found.group().replace(" ", ""), lookalike)
    behind = _SPELLED_OUT.sub(lambda found: _behind_article(found.group()), lookalike)
    return tuple(dict.fromkeys((plain, lookalike, joined, behind)))


def _behind_article(spelled: str) -> str:
    first, _, rest = spelled.partition(" ")
    return f"{first} {rest.replace(' ', '')}"


def parse_blocklist(document: str, source: str) -> Blocklist:
    """Read a blocklist: `[category]` headings, one phrase a line, `*` ends a stem, `#` comments.

    `a + b` on a line means that both must occur, in any order, within twelve words.
    """
    policy, category = "", ""
    phrases: dict[str, list[str]] = {}
    for number, raw in enumerate(document.splitlines(), start=1):
        line = raw.partition("#")[0].strip().casefold()
        if not line:
            continue
        if line.startswith("policy:"):
            policy = line.partition(":")[2].strip()
        elif line.startswith("[") and line.endswith("]"):
            category = line[1:-1]
        elif category:
            phrases.setdefault(category, []).append(_expression(line))
        else:
            raise Misconfigured(
                "a blocklist phrase stands before any [category]", file=source, line=number
            )
    if not policy or not phrases:
        raise Misconfigured("a blocklist needs a `policy:` line and phrases", file=source)
    return Blocklist(
        policy=policy,
        patterns={name: re.compile("|".join(parts)) for name, parts in phrases.items()},
    )


def texts_asked_for(prompt: Json) -> Iterator[str]:
    """Yield every text of a workflow but those that only say what a picture shall not show.

    People list what they do not want, in the very words of the blocklist; a node whose every
    wire ends in an input called `negative` asks for nothing.
    """
    try:
        graph = parse(prompt)
    except GraphRefused:
        yield from texts_of(prompt)
        return
    unwanted = _only_negative(graph)
    for node in graph.nodes.values():
        if node.id not in unwanted:
            for value in node.inputs.values():
                if not isinstance(value, Link):
                    yield from texts_of(value)


def _only_negative(graph: Graph) -> frozenset[str]:
    negative: set[str] = set()
    wanted: set[str] = set()
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            if isinstance(value, Link):
                (negative if name == "negative" else wanted).add(value.node_id)
    return frozenset(negative - wanted)


def texts_of(value: Json) -> Iterator[str]:
    """Yield every string inside a JSON value, however deep, without recursion."""
    waiting: list[Json] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())


def _expression(phrase: str) -> str:
    sides = [side.strip() for side in phrase.split(" + ")]
    if len(sides) == 1:
        return _words(sides[0])
    first, second = (_words(side) for side in sides[:2])
    between = r"\W+(?:\w+\W+){0,12}?"
    return f"(?:{first}{between}{second}|{second}{between}{first})"


def _words(side: str) -> str:
    options = [option.strip() for option in side.split("|")]
    return r"\b(?:" + "|".join(_stem(option) for option in options) + ")"


def _stem(option: str) -> str:
    words = _NOT_WORD.sub(" ", option.rstrip("*")).strip()
    body = r"\s+".join(re.escape(word) for word in words.split())
    return body + (r"\w*" if option.endswith("*") else r"\b")
