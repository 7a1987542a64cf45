from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.endurance.figures import calm, growth, histogram, percentiles, ratio_of_ends
from benchmarks.endurance.journal import Journal, read_journal
from benchmarks.endurance.processes import sample_tree, thread_cpu_s, tree

TIMES = [5.0 * at for at in range(720)]


def test_growth_sees_a_slow_rise_and_a_step_and_no_noise() -> None:
    rng = np.random.default_rng(0)
    noise = 250 + rng.normal(0, 1, len(TIMES))
    still = growth(TIMES, noise.tolist(), 300.0)
    assert abs(still["grown_share"]) < 0.002
    assert abs(still["fitted_share"]) < 0.002
    rise = growth(TIMES, (noise + np.array(TIMES) / 3600 * 10).tolist(), 300.0)
    assert 0.025 < rise["fitted_share"] < 0.045
    step = growth(TIMES, (noise + 10 * (np.array(TIMES) > 2000)).tolist(), 300.0)
    assert step["grown"] == pytest.approx(10, abs=1)


def test_growth_leaves_the_warm_up_out() -> None:
    warming = [250 - 100 * math.exp(-at / 30) for at in TIMES]
    assert growth(TIMES, warming, 300.0)["grown_share"] < 1e-3
    assert growth(TIMES, warming, 0.0)["fitted_share"] > 1e-3


def test_growth_of_too_little_is_no_number_and_meets_no_floor() -> None:
    grown = growth([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 0.0)
    assert math.isnan(grown["grown"])
    assert not max(grown["grown_share"], grown["fitted_share"]) < 0.02


def test_calm_is_outside_of_every_trouble() -> None:
    assert calm([0.0, 1.0, 2.0, 3.0, 9.0], [(1.0, 2.0), (8.5, 9.5)]) == [True, False, False, True, False]


def test_percentiles_are_nearest_ranks_and_keep_the_slowest() -> None:
    assert percentiles([]) == {"count": 0}
    values = [float(at) for at in range(1, 201)]
    assert percentiles(values) == {"count": 200, "p50": 100.0, "p90": 180.0, "p99": 198.0, "max": 200.0}


def test_a_histogram_holds_every_value_once() -> None:
    values = [0.001, 1.0, 1.0, 7.9, 1e9]
    bins = histogram(values)
    assert sum(count for _, count in bins) == len(values)
    assert [edge for edge, _ in bins] == sorted(edge for edge, _ in bins)
    assert dict(bins)[1.0] == 2
    assert all(any(value <= edge for edge, _ in bins) for value in values[:-1])


def test_the_ends_of_a_run_are_compared_by_their_slowest_results() -> None:
    slow = [8.0 if at < 1800 else 12.0 for at in TIMES]
    ends = ratio_of_ends(TIMES, slow, 600.0)
    assert ends["ratio"] == pytest.approx(1.5)
    assert ends["first"]["count"] == ends["last"]["count"] == 121
    assert math.isnan(ratio_of_ends([], [], 600.0)["ratio"])


def test_a_journal_outlives_the_one_who_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    code = (
        "import os, sys; from pathlib import Path; from benchmarks.endurance.journal import Journal\n"
        "made = Journal(Path(sys.argv[1]))\n"
        "for at in range(100): made.write('sample', at_ns=at)\n"
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, check=False).returncode == -9
    with path.open("a") as file:
        file.write('{"what":"sam')  # what a full disk leaves
    assert read_journal(path) == [{"what": "sample", "at_ns": at} for at in range(100)]


def test_a_journal_is_written_by_many_threads(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.jsonl")
    threads = [
        threading.Thread(target=lambda name=name: [journal.write(name, at=at) for at in range(200)]) for name in "abcd"
    ]
    for entry in threads:
        entry.start()
    for thread in threads:
        thread.join()
    journal.close()
    entries = read_journal(journal.path)
    assert entries == journal.entries
    assert [entry["at"] for entry in entries if entry["what"] == "c"] == list(range(200))


def test_the_processes_of_a_run_are_counted_with_what_they_hold() -> None:
    code = (
        "import subprocess, sys, threading\n"
        "held = b'x' * 40_000_000\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE)\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "print('ready', flush=True)\n"
        "for at in range(3_000_000): pass\n"
        "print('done', flush=True)\n"
        "sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = sample_tree(process.pid, proportional=True)
        process.stdout.readline()
        second = sample_tree(process.pid)
        spent = thread_cpu_s(tree(process.pid))
        assert len(first.processes) == 2
        assert first.processes[0].pid == process.pid
        assert first.processes[0].rss_mb > 45
        assert first.threads == 3
        assert first.fds >= 6
        assert first.pss_mb is not None
        assert first.uss_mb is not None
        assert 40 < first.uss_mb <= first.pss_mb <= first.rss_mb
        assert second.pss_mb is None
        assert second.cpu_s > first.cpu_s
        assert sum(spent.values()) == pytest.approx(second.cpu_s, abs=0.1)
        process.communicate()
    assert sample_tree(process.pid).processes == ()


def test_threads_are_named_for_the_kernel() -> None:
    code = (
        "import threading, time; from benchmarks.endurance.program import name_threads\n"
        "name_threads()\n"
        "threading.Thread(target=time.sleep, args=(60,), name='emer-edge steps', daemon=True).start()\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, env=dict(os.environ)) as one:
        assert one.stdout is not None
        one.stdout.readline()
        deadline_s = time.monotonic() + 10
        while "steps" not in thread_cpu_s([one.pid]) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert "steps" in thread_cpu_s([one.pid])
        one.kill()
