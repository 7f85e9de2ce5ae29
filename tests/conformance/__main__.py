"""`make conformance`: collect the tests and write docs/conformance.md."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conformance.rows import Shower, load_rows, report

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance.md"


class Collector:
    """A pytest plugin that notes which rows each collected test says it shows."""

    def __init__(self) -> None:
        self.showers: dict[str, list[Shower]] = defaultdict(list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read the `covers` marks; parameters of one test count once."""
        for item in items:
            name = item.nodeid.partition("[")[0]
            gpu = item.get_closest_marker("gpu") is not None
            for mark in item.iter_markers("covers"):
                for row in mark.args:
                    shower = Shower(name, gpu)
                    if shower not in self.showers[row]:
                        self.showers[row].append(shower)


def main() -> int:
    """Write the page; fail when a test covers a row that does not exist."""
    collector = Collector()
    status = pytest.main(["--collect-only", "-q", "--no-header", str(ROOT / "tests")], [collector])
    if status != pytest.ExitCode.OK:
        return int(status)
    rows = load_rows()
    unknown = sorted(set(collector.showers) - {row.id for row in rows})
    if unknown:
        sys.stderr.write(f"tests cover rows that do not exist: {', '.join(unknown)}\n")
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(report(rows, collector.showers), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {PAGE.read_text().splitlines()[4]}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
