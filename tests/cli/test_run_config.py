from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from emer_edge.cli.config_file import read_config, settings
from emer_edge.cli.run import run
from emer_edge.core.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[2] / "deploy/run.toml"
Run = Callable[..., Any]


def sample(
    bundle: Annotated[Path | None, typer.Argument()] = None,
    rate_hz: Annotated[float, typer.Option(min=1, max=500)] = 30.0,
    count: Annotated[int | None, typer.Option(min=1)] = None,
    side: Literal["left", "right"] = "left",
    quiet: Annotated[bool, typer.Option("--quiet")] = False,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Repeatable.")] = None,
) -> None:
    pass


def written(folder: Path, text: str) -> Path:
    path = folder / "some.toml"
    path.write_text(text)
    return path


def test_keys_and_kinds_come_from_the_signature() -> None:
    found = settings(sample)
    assert list(found) == ["bundle", "rate-hz", "count", "side", "quiet", "tag"]
    assert (found["rate-hz"].kind, found["rate-hz"].least, found["rate-hz"].most) == (float, 1, 500)
    assert found["side"].choices == ("left", "right")
    assert (found["tag"].name, found["tag"].many) == ("tags", True)


def test_a_whole_file(tmp_path: Path) -> None:
    text = 'bundle = "a.emer"\nrate-hz = 60\ncount = 3\nside = "right"\nquiet = true\ntag = ["a", "b"]\n'
    expected = {"bundle": "a.emer", "rate_hz": 60, "count": 3, "side": "right", "quiet": True, "tags": ["a", "b"]}
    assert read_config(written(tmp_path, text), sample)[0] == expected


@pytest.mark.case("a configuration with a byte order mark", before="'Invalid statement (line 1, column 1)'")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_of_a_windows_editor(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "some.toml").write_bytes('bundle = "é.emer"\r\nrate-hz = 60\r\n'.encode(encoding))
    assert read_config(tmp_path / "some.toml", sample)[0] == {"bundle": "é.emer", "rate_hz": 60}


def test_an_encoding_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_bytes('bundle = "é.emer"\n'.encode("cp1252"))
    with pytest.raises(ConfigurationError, match=r"some\.toml is no UTF-8, read as .*Latin-1.*; save it as UTF-8"):
        read_config(tmp_path / "some.toml", sample)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("rate_hz = 30", "rate_hz is no option of this command (did you mean rate-hz?)"),
        ("zzz = 30", "zzz is no option of this command"),
        ('rate-hz = "30"', 'rate-hz is a number, not "30"'),
        ("rate-hz = true", "rate-hz is a number, not true"),
        ("rate-hz = nan", "rate-hz is at least 1, not nan"),
        ("rate-hz = 501", "rate-hz is at most 500"),
        ("count = 1.5", "count is a whole number, not 1.5"),
        ("count = 0", "count is at least 1, not 0"),
        ('side = "lefft"', 'side is one of left, right, not "lefft" (did you mean left?)'),
        ("quiet = 1", "quiet is true or false, not 1"),
        ("bundle = 3", "bundle is a text in quotes, not 3"),
        ('tag = "a"', 'tag is an array, as in ["one", "two"], not "a"'),
        ("tag = [1.5]", "tag is a text in quotes, not 1.5"),
        ("rate-hz = -inf", "rate-hz is at least 1, not -inf"),
        ("rate-hz = inf", "rate-hz is at most 500, not inf"),
        ('config = "b.toml"', "config belongs on the command line, as --config"),
        ("[camera]\nname = 0", "[camera]: all keys belong at the top"),
        ("rate-hz = ", "is no TOML"),
        pytest.param("tag = " + 5000 * "[", "is no TOML", id="deep"),
        pytest.param("count = " + 5000 * "9", "is no TOML", id="long"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(named)) as caught:
        read_config(written(tmp_path, line), sample)
    assert "some.toml" in str(caught.value)


@pytest.mark.case("`serve = 8080` and `camera = 0` without quotes", before="is a text in quotes, not 8080")
def test_numbers_stand_for_texts(tmp_path: Path) -> None:
    values, _ = read_config(written(tmp_path, "serve = 8080\ncamera = 0\nmetrics = 9108\nparticipant = 17"), run)
    assert values == {"serve": "8080", "camera": "0", "metrics": "9108", "participant": "17"}


@pytest.mark.parametrize("value", ["nan", "-inf", "1e300"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"offset-ms is a number up to 1e\+13, not"):
        read_config(written(tmp_path, f"offset-ms = {value}"), run)


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"count is .*; quiet is"):
        read_config(written(tmp_path, "count = 0\nquiet = 1"), sample)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no configuration"):
        read_config(tmp_path / "none.toml", sample)
    with pytest.raises(ConfigurationError, match="can't read"):
        read_config(tmp_path, sample)


def test_the_example_has_every_option_of_run_and_no_other(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    every_key = re.sub(r"^# ([a-z-]+ = )", r"\1", text, flags=re.MULTILINE)
    defaults = read_config(written(tmp_path, every_key), run)[0]
    assert set(defaults) == {each.name for each in settings(run).values()}
    assert set(read_config(EXAMPLE, run)[0]) < set(defaults)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    import cv2
    import numpy as np

    writer = cv2.VideoWriter(str(tmp_path / "face.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(10):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    (tmp_path / "eyes.csv").write_text("time_us,left_x,left_y,left_valid\n0,0.5,0.5,1\n8000,0.5,0.5,1\n")
    return tmp_path


def test_check_reads_everything_and_runs_nothing(emer_edge: Run, recording: Path, bundle: Path) -> None:
    text = f'bundle = "{bundle}"\ncamera = "{recording}/face.avi"\ntracker = "{recording}/eyes.csv"\n'
    outcome = emer_edge("run", "--config", written(recording, text), "--check")
    assert outcome.code == 0, outcome.err
    assert outcome.out == ""
    assert "in order" in outcome.err


def test_check_names_all_that_is_wrong(emer_edge: Run, recording: Path, bundle: Path) -> None:
    outcome = emer_edge(
        "run",
        bundle,
        "--check",
        "--camera",
        "csi://9?sise=1",
        "--tracker",
        "/dev/ttyUSB97?bautrate=1",
        "--engine",
        "gpu",
    )
    assert outcome.code == 2
    for each in ("sise", "bautrate", "no engine is called 'gpu'"):
        assert each in outcome.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--tracker", "/dev/ttyUSB97"), "there is no serial port /dev/ttyUSB97"),
        (("--tracker", "/dev/null?format=nothing"), "no tracker format is called 'nothing'"),
        (("--tracker", "opengaze://"), "opengaze://host:4242"),
        (("--tracker", "lsl://?clock=sun"), "clock is one of"),
        (("--tracker", "carrier://pigeon"), "no tracker driver knows"),
        (("--camera", "nobody.mp4"), "nobody.mp4"),
        (("--camera", "synthetic://", "--pace", "fast"), "live: camera"),
        (("--camera", "synthetic://", "--loop"), "--loop starts files over, and a device has no end; live: camera"),
        (("--loop", "--pace", "fast"), "use --pace real"),
        (("--loop", "--record", "run.mcap"), "nothing of it is kept: leave --record out"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[1],
)
def test_check_refuses(emer_edge: Run, recording: Path, bundle: Path, arguments: tuple[str, ...], named: str) -> None:
    sources = ("--camera", recording / "face.avi", "--tracker", recording / "eyes.csv")
    outcome = emer_edge("run", bundle, "--check", *sources, *arguments)
    assert outcome.code == 2
    assert named in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err


def test_check_refuses_a_changed_bundle(emer_edge: Run, recording: Path, bundle: Path) -> None:
    part = bundle / "cpu/fusion.onnx"
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    sources = ("--camera", recording / "face.avi", "--tracker", recording / "eyes.csv")
    outcome = emer_edge("run", bundle, "--check", *sources)
    assert outcome.code == 2
    assert "cpu/fusion.onnx" in outcome.err


def test_flags_win_over_the_file(emer_edge: Run, recording: Path, bundle: Path) -> None:
    path = written(recording, f'camera = "nobody.mp4"\ntracker = "{recording}/eyes.csv"\nbundle = "{bundle}"\n')
    assert "nobody.mp4" in emer_edge("run", "--config", path, "--check").err
    assert emer_edge("run", "--config", path, "--check", "--camera", recording / "face.avi").code == 0


def test_a_file_reaches_the_run(emer_edge: Run, recording: Path, bundle: Path) -> None:
    text = 'pace = "fast"\njson = true\noffset-ms = 0\nmarkers = ["none"]\n'
    sources = ("--camera", recording / "face.avi", "--tracker", recording / "eyes.csv")
    outcome = emer_edge("run", bundle, "--config", written(recording, text), *sources)
    assert outcome.code == 2, outcome.err  # one image is no result
    assert "no result: of 1 image " in outcome.err
    assert "unsynchronised" not in outcome.err
