"""Run every test of an input from outside (`@pytest.mark.case`) and write the table of cases, tests and results.

    python -m benchmarks.cases [--output docs/cases.md]

A case is a file, a device, a bundle or a situation that somebody else made: the marker's first argument says what is
given, `source` where it was met (an address, or nothing where this project met it itself), `before` what came of it
then. The table is what the run found: a test that fails stands in it as failed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import pytest

_ROOT: Final = Path(__file__).resolve().parent.parent
_RANK: Final = {"failed": 0, "skipped": 1, "passed": 2}  # of several parameters the worst counts


class Case(NamedTuple):
    """What is given, where it was met, what came of it then, the test that gives it, and how that test ended."""

    given: str
    source: str
    before: str
    test: str
    result: str


class Collector:
    """A pytest plug-in that keeps the cases among the tests and how each ended."""

    def __init__(self) -> None:
        self._marks: dict[str, list[pytest.Mark]] = {}
        self._results: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep only cases."""
        self._marks = {item.nodeid: list(item.iter_markers("case")) for item in items}
        others = [item for item in items if not self._marks[item.nodeid]]
        items[:] = [item for item in items if self._marks[item.nodeid]]
        config.hook.pytest_deselected(items=others)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome of set-up, call and tear-down."""
        before = self._results.get(report.nodeid, "passed")
        self._results[report.nodeid] = min(before, report.outcome, key=_RANK.__getitem__)

    def cases(self) -> list[Case]:
        """Return a row a case and test function, in the order of the tests."""
        rows: dict[tuple[str, str, str, str], str] = {}
        for test, marks in self._marks.items():
            for mark in marks:
                key = (mark.args[0], mark.kwargs.get("source", ""), mark.kwargs.get("before", ""), test.split("[")[0])
                result = self._results.get(test, "skipped")
                rows[key] = min(rows.get(key, result), result, key=_RANK.__getitem__)
        return [Case(*key, result=result) for key, result in rows.items()]


def table(cases: Sequence[Case]) -> str:
    """Return the page: a Markdown table of all cases, under a line that says when and on what it was made."""
    passed = sum(case.result == "passed" for case in cases)
    lines = [
        "# Cases: inputs that nobody here made",
        "",
        f"Written by `python -m benchmarks.cases` on {date.today().isoformat()}, Python {platform.python_version()} on "
        f"{platform.machine()}: {len(cases)} cases, {passed} passed. Each test gives the product the "
        "input, and names what is right.",
        "",
        "| given | met at | before | test | result |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        "| " + " | ".join((_cell(c.given), _cell(c.source), _cell(c.before), f"`{_cell(c.test)}`", c.result)) + " |"
        for c in cases
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Run the cases and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=_ROOT / "docs" / "cases.md", help="the page to write")
    options = parser.parse_args()
    os.chdir(_ROOT)
    collector = Collector()
    code = pytest.main(["tests", "-p", "no:cacheprovider"], plugins=[collector])
    cases = collector.cases()
    if not cases:
        sys.exit("no test is marked as a case")
    options.output.write_text(table(cases), encoding="utf-8")
    print(f"{options.output}: {len(cases)} cases, {sum(c.result == 'passed' for c in cases)} passed")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
