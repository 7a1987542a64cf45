"""The JSON Schemas of results and of the page's events: made of the types, and true of what runs give."""

from __future__ import annotations

import io
import json
import threading
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from page_inputs import event_stream, result_of, until
from runtime_inputs import LiveCamera, LiveTracker, scene, write_tracker, write_video

from benchmarks.json_schemas import SCHEMAS, page_schema, result_schema, texts
from emer_edge.bundle import Bundle
from emer_edge.bundle.reading_records import WithoutEyesRecord
from emer_edge.core.results import RESULT_SCHEMA, Result, State
from emer_edge.runtime.options import BaselineOptions, MachineOptions, Source
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.page.events import EVENTS
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

FAST = MachineOptions(pace="fast")
RESULT = Draft202012Validator(result_schema())
FIRST = Path(__file__).parents[2] / "frozen_schemas" / "result-1.json"


def strict(schema: dict[str, Any]) -> Draft202012Validator:
    """The same without keys that it does not name: they may come, but not unnoticed by us."""
    both = ("Result", "BesideResult") if "oneOf" in schema else ()
    for name, definition in schema["$defs"].items():
        if "properties" in definition and name not in both:
            definition["unevaluatedProperties"] = False
    for choice in schema.get("oneOf", []):
        choice["properties"]["data"]["unevaluatedProperties"] = False
    return Draft202012Validator(schema)


STRICT_RESULT, STRICT_EVENT = strict(result_schema()), strict(page_schema())


def written(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The lines of a run's `--json`."""
    lines = io.StringIO()
    play(pipeline, [JsonLines(lines)])
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def held(results: list[dict[str, Any]]) -> set[str]:
    """Hold results against the schema; their states."""
    for result in results:
        STRICT_RESULT.validate(result)
    return {result["state"] for result in results}


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_a_written_schema_is_that_of_the_types(path: Path) -> None:
    assert path.read_text() == texts()[path], "the types have changed: python -m benchmarks.json_schemas"


def test_schemas_are_schemas_and_the_package_has_those_of_the_pages() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema())
    packaged = {"result": ("emer_edge.core", "result"), "page-events": ("emer_edge.runtime.outputs.page", "events")}
    for name, (package, file) in packaged.items():
        assert json.loads(files(package).joinpath(f"{file}.schema.json").read_text()) == SCHEMAS[name]()


def test_every_key_of_a_result_is_described() -> None:
    (_, *keys) = result_schema()["$defs"]["Result"]["properties"].values()
    assert [key for key in keys if not key.get("description")] == []


def test_a_run_of_one_stream_is_valid_in_each_state(bundle: Bundle, tmp_path: Path) -> None:
    video = write_video(tmp_path / "face.avi", 7.5, hidden=(5.2, 6.4))
    tracker = write_tracker(tmp_path / "gaze.csv", 7.5, lost=(3.0, 4.9))
    source = Source(str(video), str(tracker), offset_ms=0.0, baseline=BaselineOptions(1.0, apply=True))
    pipeline = Pipeline(bundle, sources=[source], machine=FAST)
    pipeline.markers.add("begin of a test")
    results = written(pipeline)
    assert held(results) == {state.value for state in State}
    assert any(result["from_baseline"] for result in results)
    assert any(result["gap"] for result in results)
    for result in results:
        again = msgspec.json.decode(json.dumps(result), type=Result)
        assert again.to_dict() == result


def test_a_run_of_several_streams_and_one_without_eyes_is_valid(bundle: Bundle, tmp_path: Path, video: Path) -> None:
    record = WithoutEyesRecord(clips=30, before={}, after={}, lost_points=0.4, worst="fer-7/uar")
    seeing = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, without_eyes=record))
    short = write_video(tmp_path / "short.avi", 3.0)
    results = written(
        Pipeline(seeing, sources=[Source(str(video), name="long"), Source(str(short), name="short")], machine=FAST)
    )
    assert held(results) == {"filling", "no_gaze"}
    assert {result["stream"] for result in results} == {"long", "short"}
    assert {tuple(result["absent"]) for result in results if result["heads"]} == {("er", "gap")}


def test_what_is_no_result_is_refused(bundle: Bundle) -> None:
    good = Result(1, State.FILLING).to_dict()
    RESULT.validate(good)
    for change in (
        {"schema": "emer-edge/result/2"},
        {"state": "happy"},
        {"face_slots": "8"},
        {"gap": {"distance": 0.1}},
    ):
        assert not RESULT.is_valid(good | change), change
    for key in good:
        assert not RESULT.is_valid({name: value for name, value in good.items() if name != key}), key
    assert RESULT.is_valid(good | {"a key of later": 1})


@pytest.mark.parametrize("names", [(None,), ("left", "right")], ids=["one", "several"])
def test_events_of_a_real_run_are_valid(bundle: Bundle, names: tuple[str | None, ...]) -> None:
    pictures = [scene(100 + n, 90) for n in range(60)]
    sources = [Source(LiveCamera(pictures), LiveTracker(), name=name) for name in names]
    pipeline = Pipeline(bundle, sources=sources)
    page = Page(PageOptions("0"), Host(pipeline))
    run = threading.Thread(target=play, args=(pipeline, [page]))
    run.start()
    try:
        until(lambda: page.server.pace.trouble() is None, 30.0)  # the first result
        _, events = event_stream(page)
        seen: dict[str, Any] = {}
        for name, data in events:
            STRICT_EVENT.validate({"event": name, "data": data})
            seen[name] = data
            if {"hello", "result", "gaze"} <= seen.keys():
                pipeline.stop()
    finally:
        pipeline.stop()
        run.join()
    assert {"hello", "result", "gaze", "end"} <= seen.keys() <= EVENTS.keys()
    assert ("streams" in seen["hello"], "streams" in seen["result"]) == (len(names) > 1, len(names) > 1)


def test_a_trace_and_a_pulse_are_valid(page: Page) -> None:
    for number in range(1, 4):
        page.result(result_of(number))
    _, events = event_stream(page)
    names = []
    for name, data in events:
        STRICT_EVENT.validate({"event": name, "data": data})
        names.append(name)
        if name == "pulse":
            page.end(None)
    assert names[:3] == ["hello", "trace", "result"]
    assert "pulse" in names


def test_what_a_version_promised_it_keeps() -> None:
    """Keys may come; one that goes, or changes its type, needs another number."""
    assert RESULT_SCHEMA == "emer-edge/result/1", "a new version: freeze its first schema beside the old one"
    first, now = json.loads(FIRST.read_text()), result_schema()["$defs"]
    for name, definition in first.items():
        if "enum" in definition:
            assert definition["enum"] == now[name]["enum"], name
        for key, kind in definition.get("properties", {}).items():
            found = {word: value for word, value in now[name]["properties"][key].items() if word != "description"}
            assert found == kind, (name, key)
