from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from benchmarks.common import Floor, conclude
from benchmarks.endurance.processes import cpu_s
from benchmarks.quiet import OTHERS, OtherPrograms, refusal

CORES = os.cpu_count() or 1
SECONDS = 1.5
SPIN = "import sys, time; end = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"


def other_program() -> int:
    """Start a busy process that is no descendant of this one, because its parent has ended; returns its number."""
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1], '30'], stdout=2).pid)"
    done = subprocess.run([sys.executable, "-c", code, SPIN], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


def test_what_other_programs_use_counts_unless_it_is_a_declared_load() -> None:
    pid = other_program()
    try:
        strict, lenient = OtherPrograms(), OtherPrograms()
        began_s, before_s = monotonic(), cpu_s(pid)
        with lenient.declared(pid):
            sleep(SECONDS)
            used = (cpu_s(pid) - before_s) / (monotonic() - began_s) / CORES
            others, without_load = strict.share(), lenient.share()
        after = lenient.share()
    finally:
        os.kill(pid, 9)
    assert used > 0.05
    assert others > 0.8 * used
    assert others - without_load == pytest.approx(used, rel=0.2)
    assert after == pytest.approx(without_load, abs=0.03)  # what a load used stays its own when it ends


def test_children_count_as_the_benchmark_itself() -> None:
    others = OtherPrograms()
    began_s, before = monotonic(), os.times()
    children = [subprocess.Popen([sys.executable, "-c", SPIN, str(SECONDS)]) for _ in range(CORES)]
    assert [child.wait() for child in children] == [0] * CORES
    after = os.times()
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    share = spent_s / (monotonic() - began_s) / CORES
    assert share > 0.1
    assert others.share() < 1.05 - share  # all cores are busy meanwhile


def test_a_result_measured_beside_other_programs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pids = [other_program() for _ in range(1 + CORES // 8)]
    try:
        OTHERS.restart()
        sleep(SECONDS)
        written: list[str] = []
        path = tmp_path / "made.json"
        assert conclude("made", [Floor("speed", 2.0, 1.0)], {}, path, beside=lambda: written.append("plot")) == 1
    finally:
        for pid in pids:
            os.kill(pid, 9)
    assert list(tmp_path.iterdir()) == written == []
    assert "made: not written, because other programs used" in capsys.readouterr().out


def test_the_limit_is_five_per_cent() -> None:
    assert refusal("made", 0.05) is None
    reason = refusal("made", 0.0512)
    assert reason is not None
    assert "used 5.1 % of the machine" in reason
    assert "run it again" in reason


def test_a_result_of_a_quiet_machine_says_so(tmp_path: Path) -> None:
    path, written = tmp_path / "made.json", []
    floors, figures = [Floor("speed", 2.0, 1.0)], {"speed": 2.0}
    assert conclude("made", floors, figures, path, others_share=0.0312, beside=lambda: written.append("plot")) == 0
    assert written == ["plot"]
    document = json.loads(path.read_text())
    assert document["others_share"] == 0.0312
    assert document["figures"] == figures
