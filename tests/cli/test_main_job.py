"""The whole job as a user does it, on very small data: each command's output is the next one's input."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shared_work import clips_of
from typer.testing import CliRunner

from emer_edge.cli.app import app

_LIGHT = """import sys
from emer_edge.cli import main
try:
    main()
finally:
    print([each for each in ("torch", "onnx", "pandas", "matplotlib") if each in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job")


def call(folder: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as its own process, in `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "emer_edge", *map(str, arguments)], cwd=folder, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stderr
    return done


def call_light(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command that a device runs, and see that it never imports what only training and export may."""
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT, *map(str, arguments)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
    return done


@pytest.fixture(scope="module")
def clips(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (folder / "clips").symlink_to(clips_of(tmp_path_factory, 10, 2, 8, seed=3))
    return folder / "clips"


@pytest.fixture(scope="module")
def checkpoint(folder: Path, clips: Path) -> Path:
    done = call(folder, "train", "--data", clips, "--output", "emert.pt", "--frozen-backbone", "--epochs", 2)
    assert "next: emer-edge export" in done.stderr
    return folder / "emert.pt"


@pytest.fixture(scope="module")
def bundle(folder: Path, clips: Path, checkpoint: Path) -> Path:
    done = call(
        folder, "export", "--precision", "fp32", "--checkpoint", checkpoint, "--data", clips, "--output", "x.emer"
    )
    assert "next: emer-edge bench" in done.stderr
    return folder / "x.emer"


@pytest.fixture(scope="module")
def visit(folder: Path) -> Path:
    call(folder, "simulate", "recording", "visit", "--seconds", 14)
    return folder / "visit"


@contextmanager
def simulated_tracker() -> Iterator[str]:
    """`emer-edge simulate tracker` in a process of its own; yields the path that it prints."""
    command = [sys.executable, "-m", "emer_edge", "simulate", "tracker"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "sent" in words


@pytest.fixture(scope="module")
def replay(folder: Path, bundle: Path, visit: Path) -> subprocess.CompletedProcess[str]:
    """A replay with its results on stdout, saved as the session p017/s1, and recorded in run.mcap."""
    video, tracker = visit / "video.avi", visit / "tracker.tsv"
    files = ("--camera", video, "--tracker", tracker, "--offset-ms", 0)
    kept = ("--save", "sessions", "--participant", "p017", "--session", "s1", "--record", "run.mcap")
    return call_light(folder, "run", bundle, *files, *kept, "--pace", "fast", "--json")


def test_a_replay_gives_the_numbers_of_predict(
    folder: Path, bundle: Path, visit: Path, replay: subprocess.CompletedProcess[str]
) -> None:
    results = [json.loads(line) for line in replay.stdout.splitlines()]
    call_light(folder, "predict", bundle, visit, "--output", "visit.csv")
    rows = list(csv.DictReader((folder / "visit.csv").read_text().splitlines()))
    assert len(results) == len(rows) == 27
    assert [each["state"] for each in results] == [each["state"] for each in rows] == ["filling"] * 23 + ["ok"] * 4
    for result, row in zip(results[23:], rows[23:], strict=True):
        for head, value in result["heads"].items():
            cells = value.items() if isinstance(value, dict) else [("", value)]
            for name, number in cells:
                assert float(row[f"{head}_{name}".strip("_")]) == pytest.approx(number, abs=1e-5)
    assert "memory:" in replay.stderr


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("x.emer", [r"bundle +x, \d+ files with \d+\.\d MB", r"er-7 +happiness, ",
                    r"weights +trained with \d+ synthetic", r"accuracy gate +\w+ on \d+ windows", "without eyes "]),
        ("sessions/p017/s1", [r"session +p017/s1, ended", r"results +27: 23 filling, 4 ok", "markers +none"]),
        ("visit", [r"person +1", r"tracker +tracker\.tsv: 1,6\d\d samples in 14\.0 s, 120 Hz", r"offset +0 ms"]),
        ("run.mcap", [r"recording +20\d\d-.*bundle x", r"person +p017, s1", r"results +27, "]),
    ],
    ids=["bundle", "session", "recording", "mcap"],
)  # fmt: skip
@pytest.mark.usefixtures("replay")
def test_info_says_what_each_of_them_is(folder: Path, path: str, lines: list[str]) -> None:
    told = call_light(folder, "info", path).stdout.splitlines()
    assert told[0] == f"{path}:"
    for line in lines:
        assert any(re.match(f"  {line}", each) for each in told), (line, told)


def test_a_clip_is_a_row(folder: Path, bundle: Path, clips: Path) -> None:
    call_light(folder, "predict", bundle, clips, "--output", "clips.csv")
    rows = list(csv.DictReader((folder / "clips.csv").read_text().splitlines()))
    assert len(rows) == 20
    assert {each["state"] for each in rows} == {"ok"}


def test_bench_scores_the_seven_protocols_of_the_fold_that_was_held_out(
    folder: Path, bundle: Path, clips: Path
) -> None:
    quick = ("--repeats", 2, "--warmup", 0, "--starts", 0, "--min-seconds", 0, "--min-queries", 0, "--streams", "")
    done = call_light(folder, "bench", bundle, "--data", clips, *quick, "--output", "bench")
    report = json.loads((folder / "bench/report.json").read_text())
    accuracy = report["bundles"][0]["accuracy"]
    assert set(accuracy["heads"]) == {
        "er-7", "er-3", "er-valence", "er-arousal", "fer-7", "fer-3", "fer-valence", "fer-arousal", "fer-intensity",
    }  # fmt: skip
    assert "report.html" in done.stderr


@pytest.mark.slow
def test_bench_says_what_moved_since_an_older_report(folder: Path, bundle: Path) -> None:
    arguments = ["--repeats", "2", "--warmup", "0", "--starts", "0", "--min-seconds", "0", "--min-queries", "0"]
    command = [sys.executable, "-m", "emer_edge", "bench", str(bundle), *arguments, "--streams", ""]

    def bench(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True)

    assert bench("--output", "older").returncode == 0
    older = folder / "older/report.json"
    report = json.loads(older.read_text())
    report["bundles"][0]["size_bytes"] //= 2
    older.write_text(json.dumps(report))
    done = bench("--against", "older")
    assert done.returncode == 1
    assert "size_bytes" in done.stderr
    assert re.search(r" [1-9]\d* got worse by more than 10%", done.stderr)  # times, too, where the machine is busy
    report["bundles"][0]["size_bytes"] *= 2
    (folder / "now.json").write_text(json.dumps(report))
    command = [sys.executable, "-m", "emer_edge", "bench", "compare", "older", "older", "now.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"^older: against older of .* 0 got worse", done.stderr, re.MULTILINE)
    assert re.search(r"^now.json: against older of .* 1 got worse", done.stderr, re.MULTILINE)
    older.write_text("{}")
    done = bench("--against", "older")
    assert done.returncode == 2
    assert "older/report.json is not a report" in done.stderr
    assert "Traceback" not in done.stderr


def test_bench_refuses_clips_that_the_bundle_was_trained_on(folder: Path, bundle: Path, clips: Path) -> None:
    command = [sys.executable, "-m", "emer_edge", "bench", str(bundle), "--data", str(clips), "--fold", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "trained on" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_reads_a_simulated_tracker_and_ends_with_ctrl_c(folder: Path, bundle: Path, visit: Path) -> None:
    with simulated_tracker() as path:
        command = [sys.executable, "-m", "emer_edge", "run", bundle, "--camera", visit / "video.avi", "--tracker", path]
        with subprocess.Popen(
            [*map(str, command), "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            assert first["state"] == "filling"
            assert 11 <= first["filling_s"] <= 12
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=20)
        assert process.returncode == 130, words
    assert "step latency" in words
    assert "Traceback" not in words


def test_without_a_name_the_newest_bundle_here_is_run(folder: Path, bundle: Path, visit: Path) -> None:
    done = call(
        folder, "run", "--camera", visit / "video.avi", "--tracker", visit / "tracker.tsv", "--pace", "fast", "--json"
    )
    assert "x.emer" in done.stderr
    assert "unsynchronised" in done.stderr


def test_a_reader_that_goes_away_ends_the_run_quietly(folder: Path, bundle: Path, visit: Path) -> None:
    command = [sys.executable, "-m", "emer_edge", "run", str(bundle), "--pace", "fast", "--json"]
    files = ["--camera", str(visit / "video.avi"), "--tracker", str(visit / "tracker.tsv")]
    with subprocess.Popen(
        [*command, *files], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        words = process.stderr.read()
    assert process.returncode == 0
    assert "Traceback" not in words
    assert "BrokenPipe" not in words


def test_help_of_every_command_names_its_options() -> None:
    for command in ("export", "run", "bench", "train", "synth", "predict", "demo", "purge", "simulate"):
        assert "Usage: " in CliRunner().invoke(app, [command, "--help"]).stdout
