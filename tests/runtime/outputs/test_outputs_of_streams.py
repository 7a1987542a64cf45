"""Every output of a run that reads two people, before live cameras."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from page_inputs import result_of
from recording_inputs import Kept, assert_same, replayed
from rich.console import Console
from runtime_inputs import LiveCamera, LiveTracker, scene
from test_output_metrics import scrape
from test_output_mqtt import PATIENCE_S, RealBroker, Subscriber, needs_mosquitto, until

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result, State
from emer_edge.data.sessions import open_session
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import Host, open_outputs
from emer_edge.runtime.outputs.delivery import Outputs
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_rows import Shown
from emer_edge.runtime.outputs.live_view import LiveView, render, streams_lines
from emer_edge.runtime.outputs.prometheus import Metrics
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.mcap_reader import read_head, read_messages
from emer_edge.runtime.recording.messages import RESULTS

NAMES = ("left", "right")
PEOPLE = {"left": ("p1", "form 1"), "right": ("p2", "form 2")}


def two_people() -> list[Source]:
    """Two people before live cameras, for as long as it takes."""
    pictures = {"left": [scene(100 + at, 80) for at in range(60)], "right": [scene(200, 100, 0.7)]}
    return [
        Source(LiveCamera(pictures[name]), LiveTracker(), name=name, participant=participant, consent_id=consent_id)
        for name, (participant, consent_id) in PEOPLE.items()
    ]


class Scraping(Kept):
    """Looks at the metrics as results come, and sets markers on the way."""

    def __init__(self, run: Pipeline) -> None:
        super().__init__()
        self._run = run
        self.metrics: Metrics | None = None
        self.scraped: dict[str, float] = {}
        self.read = 0

    def result(self, result: Result) -> bool:
        super().result(result)
        if len(self.results) == 4:
            self._run.mark("for all")
            self._run.streams["right"].mark("its own")
        if result.stream == "right" and self.metrics is not None:
            self.scraped, self.read = scrape(self.metrics.url), len(self.results)
        return min(sum(each.state is State.OK for each in of(self.results, name)) for name in NAMES) < 3


@dataclass
class Played:
    """What a run has left."""

    results: list[Result]
    summary: Summary
    folder: Path
    scraped: dict[str, float]
    read: int
    table: str
    json: list[dict[str, Any]]
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def played(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder, said = tmp_path_factory.mktemp("kept"), []
    run = Pipeline(bundle, sources=two_people(), say=said.append)
    screen, lines = io.StringIO(), io.StringIO()
    asked = [
        "metrics://:0",
        f"session:{folder}/sessions?session=s1",
        f"mcap:{folder}?images=jpeg&session=s1",
        "summary:",
    ]
    outputs = open_outputs(run, asked, say=said.append, console=Console(file=screen, width=80))
    for each in outputs:
        each.queued = dict.fromkeys(each.queued, 100_000)  # however busy the machine is, nothing is to be lost
    kept = Scraping(run)
    kept.metrics = next(each for each in outputs if isinstance(each, Metrics))
    summary = play(run, [*outputs, JsonLines(lines), kept], 30.0)
    told = [json.loads(each) for each in lines.getvalue().splitlines()]
    return Played(kept.results, summary, folder, kept.scraped, kept.read, screen.getvalue(), told, said)


def of(results: Sequence[Result], stream: str) -> list[Result]:
    return [each for each in results if each.stream == stream]


def test_end_to_end_latency_is_the_faces_age_the_allowance_and_the_step(played: Played) -> None:
    spans_ms = [r.face_age_ms + 50.0 + r.stages_ms["total"] for r in played.results if r.face_age_ms is not None]
    whole = played.summary.end_to_end
    assert whole is not None
    steps = sum(sum(each.states.values()) for each in played.summary.streams.values())
    unread = steps - len(played.results)  # taken while the run was being ended
    assert 0 < len(spans_ms) <= whole.count <= len(spans_ms) + unread
    slack = 1e-6
    assert whole.min_ms <= min(spans_ms) + slack
    assert max(spans_ms) <= whole.max_ms + slack
    if not unread:
        assert (whole.min_ms, whole.max_ms) == pytest.approx((min(spans_ms), max(spans_ms)))
    assert "end-to-end latency" in played.table
    assert "end_to_end" not in played.summary.to_dict()


def test_lines_and_the_summary_tell_streams_apart(played: Played) -> None:
    assert [each["stream"] for each in played.json] == [each.stream for each in played.results]
    assert {each["stream"] for each in played.json} == set(NAMES)
    assert "…" not in played.table
    assert played.summary.outputs == {}
    rows = {each.split("│")[1].strip(): each for each in played.table.splitlines() if each.count("│") == 9}
    for name, each in played.summary.streams.items():
        assert f"{each.frames}" in rows[name]
        told = ", ".join(f"{count} {state}" for state, count in each.states.items())
        assert f"{name}: results: {told}" in played.table
        assert f"{name}: tracker: " in played.table
    assert f"{played.summary.frames} frames" in played.table
    assert "step latency" in played.table


def test_each_stream_has_its_session(played: Played) -> None:
    for name, (participant, _) in PEOPLE.items():
        session = open_session(played.folder / "sessions" / participant / "s1")
        mine = of(played.results, name)
        assert [each["end_ns"] for each in session.results] == [each.end_ns for each in mine]
        assert session.head.state == "ended"
        assert session.head.summary is not None
        assert session.head.summary["frames"] == played.summary.streams[name].frames
        assert session.head.summary["rss_mb"] == played.summary.rss_mb
        labels = [each.label for each in session.markers]
        assert labels == (["for all"] if name == "left" else ["for all", "its own"])
    assert sum("saved" in each for each in played.said) == 2


def test_each_stream_has_its_recording_and_a_replay_gives_its_results(bundle: Bundle, played: Played) -> None:
    found = {read_head(each).stream: each for each in played.folder.glob("*.mcap")}
    assert set(found) == set(NAMES)
    for name, whose in PEOPLE.items():
        path, mine = found[name], of(played.results, name)
        head = read_head(path)
        assert path.stem.endswith(f"Z-{name}")
        assert (head.participant, head.consent_id) == whose
        recorded = [each.decode() for each in read_messages(path, [RESULTS])]
        assert {each["stream"] for each in recorded} == {name}
        again = {each.end_ns + head.origin_ns: each for each in replayed(bundle, path)}
        assert any(each.state is State.OK for each in mine)
        assert_same(mine, [again[each.end_ns] for each in mine], head.origin_ns)


def test_metrics_have_a_label_for_what_is_a_streams_own(played: Played) -> None:
    seen = played.scraped
    for name in NAMES:
        mine = of(played.results[: played.read], name)
        own = f'stream="{name}"'
        states = {state: seen[f'emer_edge_results_total{{state="{state.value}",{own}}}'] for state in State}
        assert sum(states.values()) >= len(mine)  # steps may have been taken that were not read yet
        assert seen[f"emer_edge_frames_total{{{own}}}"] > 5
        assert seen[f"emer_edge_samples_total{{{own}}}"] > 50
        assert seen[f'emer_edge_covered_slots{{source="face",{own}}}'] <= 8
        assert seen[f'emer_edge_stage_seconds_count{{stage="detect",{own}}}'] > 1
        assert seen[f'emer_edge_evidence_age_seconds_count{{source="face",{own}}}'] >= 1
        assert f'emer_edge_stage_seconds_count{{stage="total",{own}}}' not in seen
    for stage in ("wait", "encode", "fuse", "total"):
        assert seen[f'emer_edge_stage_seconds_count{{stage="{stage}",stream=""}}'] >= 1
    steps = seen['emer_edge_stage_seconds_count{stage="total",stream=""}']
    results = sum(value for name, value in seen.items() if name.startswith("emer_edge_results_total"))
    assert abs(steps - results) <= 2  # lattices are staggered: a step for each; one may be under way
    assert "emer_edge_resident_bytes" in seen


class Breaks(Kept):
    name = "breaks"

    def result(self, result: Result) -> bool:
        raise OSError("no space left")

    def losses(self) -> dict[str, int]:
        return {"items": 2}


def test_an_output_of_one_stream_fails_alone(bundle: Bundle) -> None:
    said: list[str] = []
    live = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=name) for name in NAMES]
    run = Pipeline(bundle, sources=live, say=said.append)
    breaks, whole = Breaks(), Kept()
    breaks.stream, whole.stream = NAMES
    metrics = Metrics(("127.0.0.1", 0), Host(run, outputs=[breaks, whole]))
    lost = scrape(metrics.url)
    summary = play(run, [breaks, whole, metrics], 2.0)
    assert lost['emer_edge_output_lost_total{output="breaks",stream="left",what="items"}'] == 2
    assert {each.stream for each in whole.results} == {"right"}
    assert whole.results
    lost = summary.outputs["breaks of left"]
    assert lost == {"items": 2, "failed": 1, "results": lost["results"]}
    assert sum("the output breaks of left failed" in each for each in said) == 1


@needs_mosquitto
def test_a_broker_hears_each_stream_under_its_name(bundle: Bundle, tmp_path: Path) -> None:
    broker = RealBroker(tmp_path)
    broker.start()
    subscriber = Subscriber(broker.port, "lab/#")
    try:
        assert subscriber.subscribed.wait(PATIENCE_S)
        live = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=name) for name in NAMES]
        run, kept = Pipeline(bundle, sources=live), Kept()
        play(run, [f"mqtt://127.0.0.1:{broker.port}/lab", kept], 2.0)
        until(lambda: subscriber.states()[-1:] == [("offline", "ended")])
        for name in NAMES:
            heard = [body["end_ns"] for topic, body, _ in subscriber.heard if topic == f"lab/{name}/results"]
            mine = [each.end_ns for each in of(kept.results, name)]
            assert heard[: len(mine)] == mine != []  # steps that nobody read any more may have been taken
        statuses = [body for topic, body, _ in subscriber.heard if topic == "lab/status"]
        assert [each["state"] for each in statuses] == ["online", "offline"]
        assert all(each["streams"] == list(NAMES) for each in statuses)
        assert {topic for topic, _, _ in subscriber.heard} == {"lab/left/results", "lab/right/results", "lab/status"}
    finally:
        subscriber.close()
        broker.kill()


def test_each_stream_has_an_outlet(bundle: Bundle) -> None:
    pylsl = pytest.importorskip("pylsl", reason="needs pylsl and its liblsl")
    name = f"emotions {uuid.uuid4().hex[:8]}"
    live = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=each) for each in NAMES]
    run = Pipeline(bundle, sources=live)
    outputs = Outputs(run, open_outputs(run, [f"lsl://{name}"]))
    inlets = {}
    outputs.begin()
    try:
        for each in NAMES:
            (found,) = pylsl.resolve_byprop("name", f"{name}-{each}", 1, 10.0)
            inlets[each] = pylsl.StreamInlet(found)
            inlets[each].open_stream(10.0)
            assert inlets[each].info().desc().child_value("stream") == each
        for stream, state in (("left", State.NO_FACE), ("right", State.NO_GAZE)):
            assert outputs.result(replace(result_of(1, state=state), stream=stream))
        assert [inlets[each].pull_sample(10.0)[0][0] for each in NAMES] == [2.0, 3.0]
        assert all(inlet.pull_sample(0.1)[0] is None for inlet in inlets.values())  # none of the other's
    finally:
        for inlet in inlets.values():
            inlet.close_stream()
        outputs.end(None)


def rows_of(bundle: Bundle, count: int) -> dict[str | None, Shown | None]:
    return {
        f"seat-{at}": Shown(bundle.manifest, replace(result_of(1, 0.5 + 0.05 * at), stream=f"seat-{at}"))
        for at in range(count)
    }


@pytest.mark.parametrize("count", [2, 3, 4, 8, 30])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 16), (40, 8)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_live_view_fits(bundle: Bundle, count: int, size: tuple[int, int]) -> None:
    width, height = size
    screen = io.StringIO()
    console = Console(file=screen, width=width, height=height)
    console.print(render(bundle.manifest, rows_of(bundle, count), {}, size=size))
    lines = screen.getvalue().splitlines()
    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width
    assert "seat-0" in screen.getvalue()
    left_out = "more: a taller" in screen.getvalue()
    assert left_out or all(f"seat-{at}" in screen.getvalue() for at in range(count))
    assert left_out == (count > height - 5 and (height - 4) // count < 7)


def test_two_have_a_block_each_and_eight_a_line(bundle: Bundle) -> None:
    both = "\n".join(each.plain for each in streams_lines(bundle.manifest, rows_of(bundle, 2), {}, size=(76, 21)))
    assert both.count("tracker ") == both.count("camera ") == 2
    assert both.count("felt minus shown") + both.count("larger than") >= 2
    rows = rows_of(bundle, 8)
    rows["seat-3"] = Shown(bundle.manifest, result_of(1, state=State.NO_FACE))
    rows = {"a-very-long-name" if name == "seat-4" else name: each for name, each in rows.items()}
    rows["a-very-long-name"] = None
    lines = [each.plain for each in streams_lines(bundle.manifest, rows, {}, size=(76, 21))]
    assert len(lines) == 10
    first = next(iter(result_of(1).heads["er-7"]))  # type: ignore[arg-type]
    assert lines[1].split()[:4] == ["seat-0", "ok", f"{first:.10}", "50%"]
    assert "0.25" in lines[1]
    assert lines[4].split()[:4] == ["seat-3", "no_face", "--", "--"]
    assert lines[5].startswith("a-very-lo…")


def test_a_live_view_draws_once_a_step(bundle: Bundle) -> None:
    live = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=each) for each in NAMES]
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24)
    view = LiveView(None, Host(Pipeline(bundle, sources=live), console=console))
    view.begin()
    drawn = []
    for number, stream in [(1, "left"), (1, "right"), (2, "left"), (2, "right"), (3, "right"), (4, "right")]:
        before = len(screen.getvalue())
        view.result(replace(result_of(number), stream=stream))
        drawn.append(len(screen.getvalue()) > before)
    view.end(None)
    assert drawn == [True, True, False, True, True, True]


def test_a_log_has_a_line_a_change(bundle: Bundle) -> None:
    live = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=each) for each in NAMES]
    screen = io.StringIO()
    view = LiveView(None, Host(Pipeline(bundle, sources=live), console=Console(file=screen)))
    view.begin()
    for stream, state in [("left", State.OK), ("right", State.OK), ("left", State.OK), ("right", State.STALE)]:
        view.result(replace(result_of(1, state=state), stream=stream))
    view.end(None)
    assert screen.getvalue().splitlines() == [
        "left: ok: the last 0.3 s",
        "right: ok: the last 0.3 s",
        "right: no emotion: a sensor is silent",
    ]
