"""Following the hash chain of an archive, and finding out what was done where it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.recorder.domain.chain import BEGINNING, Archived, Tip, hash_at, hash_of


class Wrong(StrEnum):
    """What can be wrong with a row of the archive."""

    BYTES = "bytes changed"
    HASH = "chain hash differs"
    MISSING = "row missing"
    SWAPPED = "rows swapped"
    ADDED = "row added"
    COLUMN = "column differs"
    STREAM = "stream differs"


@dataclass(frozen=True)
class Fault:
    """The first bad row that a check found; `type` is empty where nobody knows it any more.

    `seq` is 0 for a fault of the whole.
    """

    seq: int
    type: str
    wrong: Wrong
    detail: str


@dataclass
class Walk:
    """Takes the rows of an archive in their order and holds them against `end`, its checkpoint.

    After the first break it goes on only to find out what was done there: whether the next row
    goes on from the bytes or from the hash that lies there, and whether the event that belongs
    there lies at another place. `known` is a place of the chain that somebody wrote down before.
    """

    end: Tip
    known: Tip = BEGINNING
    tip: Tip = BEGINNING
    rows: int = 0
    fault: Fault | None = None
    _bad: Archived | None = None
    _missing: bool = False

    def take(self, row: Archived) -> None:
        """Go on to the next row."""
        self.rows += 1
        if self._bad is not None or self._missing:
            self._inquire(row)
        elif self.fault is None:
            self._step(row)

    def finish(self) -> Fault | None:
        """Return the first fault after the last row, or None if the chain holds."""
        if self.fault is None:
            self._stop()
        return self.fault

    def _step(self, row: Archived) -> None:
        if row.seq != self.tip.seq + 1:
            self._missing = True
            self._inquire(row)
        elif row.seq > self.end.seq:
            self.fault = Fault(row.seq, row.type, Wrong.ADDED, "it lies behind the checkpoint")
        elif hash_of(self.tip.hash, row) != row.hash:
            self._bad = row
        else:
            self.tip = Tip(row.seq, row.hash)
            self._compare_known(row)

    def _compare_known(self, row: Archived) -> None:
        if row.seq == self.known.seq and row.hash != self.known.hash:
            detail = "the chain was written anew: its hash here is not the one that you know"
            self.fault = Fault(row.seq, row.type, Wrong.HASH, detail)

    def _inquire(self, row: Archived) -> None:
        """Learn from a row behind the break what was done at the break."""
        place, bad = self.tip.seq + 1, self._bad
        belongs = hash_at(self.tip.hash, place, row)
        if belongs == row.hash or (bad is not None and belongs == bad.hash):
            self._found_at(row.seq)
        elif bad is not None and row.hash == hash_of(hash_of(self.tip.hash, bad), row):
            self._hash_changed(bad)

    def _found_at(self, seq: int) -> None:
        where = f"the event that belongs here lies at {seq}"
        if self._bad is None:
            self.fault = Fault(self.tip.seq + 1, "", Wrong.MISSING, where)
        else:
            self.fault = Fault(self._bad.seq, self._bad.type, Wrong.SWAPPED, where)
        self._bad, self._missing = None, False

    def _hash_changed(self, bad: Archived) -> None:
        detail = "subject and payload are as they were archived, the hash beside them is not"
        self.fault = Fault(bad.seq, bad.type, Wrong.HASH, detail)
        self._bad = None

    def _stop(self) -> None:
        bad = self._bad
        if bad is None and not self._missing and self.tip == self.end:
            if self.known.seq > self.end.seq:
                detail = "the archive ends before the place that you know"
                self.fault = Fault(self.end.seq + 1, "", Wrong.MISSING, detail)
        elif bad is not None and hash_of(self.tip.hash, bad) == self.end.hash:
            self._hash_changed(bad)
        elif bad is not None:
            detail = "subject or payload are not those that were archived"
            self.fault = Fault(bad.seq, bad.type, Wrong.BYTES, detail)
        elif self._missing or self.tip.seq < self.end.seq:
            last = f"the checkpoint knows rows up to {self.end.seq}"
            self.fault = Fault(self.tip.seq + 1, "", Wrong.MISSING, last)
        else:
            detail = "the checkpoint holds another hash of the last row"
            self.fault = Fault(self.tip.seq, "", Wrong.HASH, detail)
