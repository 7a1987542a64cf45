"""An output that another package brings by entry point: its help, its check, and a run with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emer_edge.bundle import Bundle

MODULE = '''
from pathlib import Path

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.outputs.base import Output, target_of
from emer_edge.runtime.outputs.registry import OutputDriver


class Table(Output):
    """Writes a line per result: its end and its state."""

    name = "table"

    def __init__(self, options, host):
        self._file = options.open("w")
        self._frames = 0

    @classmethod
    def parse(cls, address):
        path = Path(target_of(address, path=True)[0])
        if path.suffix != ".tsv":
            raise ConfigurationError(f"{address}: write table:FILE.tsv")
        return path

    def frame(self, frame, look, taken_ns):
        self._frames += 1

    def result(self, result):
        self._file.write(f"{result.end_ns}\\t{result.state.value}\\n")
        return True

    def end(self, summary):
        self._file.write(f"{self._frames} frames\\n")
        self._file.close()


DRIVER = OutputDriver("table", "table:FILE.tsv", "a line per result", "lab_table:Table", schemes=("table",))
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the package."""
    site = tmp_path_factory.mktemp("site")
    (site / "lab_table.py").write_text(MODULE)
    about = site / "lab_table-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-table\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[emer_edge.outputs]\ntable = lab_table:DRIVER\n")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}


def emer_edge(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emer_edge", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_its_help_is_among_the_others(installed: dict[str, str]) -> None:
    done = emer_edge(installed, "run", "--help")
    assert done.returncode == 0
    assert "table:FILE.tsv" in done.stdout
    assert "mqtt://HOST/TOPIC" in done.stdout


def test_it_is_checked(installed: dict[str, str], bundle: Bundle, video: Path, tracker: Path, tmp_path: Path) -> None:
    sources = (bundle.path, "--camera", video, "--tracker", tracker, "--pace", "fast", "--offset-ms", 0, "--check")
    wrong = emer_edge(installed, "run", *sources, "--out", "table:out.csv")
    assert (wrong.returncode, "write table:FILE.tsv" in wrong.stderr) == (2, True)
    right = emer_edge(installed, "run", *sources, "--out", f"table:{tmp_path / 'out.tsv'}")
    assert right.returncode == 0, right.stderr
    assert not (tmp_path / "out.tsv").exists()


def test_a_run_gives_it_everything(
    installed: dict[str, str], bundle: Bundle, video: Path, tracker: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.tsv"
    config = tmp_path / "run.toml"
    config.write_text(f'out = ["table:{path}", "json:"]\npace = "fast"\noffset-ms = 0\n')
    done = emer_edge(installed, "run", bundle.path, "--config", config, "--camera", video, "--tracker", tracker)
    assert done.returncode == 0, done.stderr
    results = [json.loads(each) for each in done.stdout.splitlines()]
    *lines, last = path.read_text().splitlines()
    assert lines == [f"{each['end_ns']}\t{each['state']}" for each in results]
    assert last == "180 frames"
