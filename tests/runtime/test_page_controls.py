"""What visitors of the page may do to a run: set markers, and record where the run says so; no more."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from page_inputs import TOKEN, event_stream, known, page_of, port_of, result_of, until
from runtime_inputs import LiveCamera, LiveTracker, scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.outputs import Output, Request, check_outputs, open_outputs
from emer_edge.runtime.outputs.base import Host
from emer_edge.runtime.outputs.page.on_request import OnRequest
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.keep import RecordOptions
from emer_edge.runtime.recording.mcap_reader import read_head, read_messages
from emer_edge.runtime.recording.mcap_writer import RecordingWriter
from emer_edge.runtime.recording.messages import CAMERA, MARKERS, RESULTS, SAMPLES


def post(page: Page, path: str, body: Any, **headers: str) -> tuple[int, str]:
    """Post JSON with the page's token; underscores in names stand for hyphens."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content_Type": "application/json"} | known(page) | headers
    connection = HTTPConnection("127.0.0.1", port_of(page), timeout=10)
    try:
        connection.request("POST", path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Kept(Output):
    """Keeps the labels of markers, and the results."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.results = 0

    def marker(self, marker: Any) -> None:
        self.labels.append(f"{marker.source}: {marker.label}")

    def result(self, result: Any) -> bool:
        self.results += 1
        return True


@contextmanager
def running(bundle: Bundle, folder: Path, said: list[str]) -> Iterator[tuple[Page, Kept]]:
    """A run with a page whose visitors may record."""
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker(), say=said.append)
    requests = [Request("page", PageOptions("0")), Request("record on request", RecordOptions(folder))]
    outputs = open_outputs(pipeline, requests, say=said.append)
    page = next(output for output in outputs if isinstance(output, Page))
    kept = Kept()
    run = threading.Thread(target=play, args=(pipeline, [*outputs, kept]))
    run.start()
    try:
        until(lambda: kept.results > 2, 20.0)
        yield page, kept
    finally:
        pipeline.stop()
        run.join()


def test_visitors_mark_and_record_in_mid_run(bundle: Bundle, tmp_path: Path, said: list[str]) -> None:
    folder = tmp_path / "visits"
    with running(bundle, folder, said) as (page, kept):
        connection, events = event_stream(page)
        assert next(data for name, data in events if name == "hello")["controls"] == ["marker", "record"]
        assert next(data for name, data in events if name == "result")["recording"] is False
        status, why = post(page, "/record", {"consent_id": ""})
        assert (status, "only with their consent" in why) == (400, True)
        assert not folder.exists()
        assert post(page, "/record", {"consent_id": "form 12"}) == (204, "")
        assert post(page, "/record", {"consent_id": "form 13"}) == (400, "it records already\n")
        assert any(data["recording"] for name, data in events if name == "result")
        assert post(page, "/marker", {"label": "lights off"}) == (204, "")
        until(lambda: kept.labels == ["page: lights off"])
        begun = kept.results
        until(lambda: kept.results > begun + 3)
        assert post(page, "/record", {"consent_id": None}) == (204, "")
        (first,) = folder.iterdir()
        size = first.stat().st_size
        assert post(page, "/record", {"consent_id": "form 14"}) == (204, "")
        until(lambda: kept.results > begun + 6)
        connection.close()
        events.close()
    assert first.stat().st_size == size  # nothing more went into the first
    first, second = sorted(folder.iterdir())
    assert [read_head(path).consent_id for path in (first, second)] == ["form 12", "form 14"]  # the end finishes one
    assert first.stat().st_mode & 0o777 == 0o600
    read = [message.decode() for message in read_messages(first, {CAMERA, MARKERS, RESULTS, SAMPLES})]
    head, kinds = read_head(first), {type(message).__name__ for message in read}
    assert head.images == "jpeg"
    assert len(kinds) >= 3
    samples = [message.decode() for message in read_messages(first, {SAMPLES})]
    assert abs(samples[0].stamp_ns - head.origin_ns) < 2e9  # it plays from there, not from the run's beginning
    assert sum("recorded " in sentence for sentence in said) == 2


def test_a_recording_of_a_mid_run_is_played(bundle: Bundle, tmp_path: Path, said: list[str]) -> None:
    with running(bundle, tmp_path, said) as (page, kept):
        assert post(page, "/record", {"consent_id": "form 1"})[0] == 204
        begun = kept.results
        until(lambda: kept.results > begun + 5)
    (file,) = tmp_path.glob("*.mcap")
    replay = Pipeline(bundle, str(file), str(file), machine=MachineOptions(pace="fast"))
    with replay:
        results = list(replay)
    assert len(results) >= 3
    assert results[0].end_ns == bundle.manifest.window.hop_ns
    assert results[-1].face_slots > 0
    assert results[-1].eye_slots > 0


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/marker", {"label": "\u200b"}, 400, "a marker needs a label"),
        ("/marker", {"label": 3}, 400, "takes other JSON"),
        ("/marker", {"word": "x"}, 400, "takes other JSON"),
        ("/marker", [1], 400, "takes other JSON"),
        ("/marker", b"\xff{", 400, "takes other JSON"),
        ("/marker", b"[" * 2000, 400, "takes other JSON"),
        ("/marker", {"label": "x" * 3000}, 400, "2048 bytes at most"),
        ("/marker?stream=third", {"label": "x"}, 404, "lets no visitor"),
        ("/record", {"consent_id": "x"}, 404, "lets no visitor"),
        ("/frame", {}, 405, "can be read"),
        ("/healthz", {}, 405, "can be read"),
    ],
)
def test_other_requests_are_refused(guarded: Page, path: str, body: Any, status: int, words: str) -> None:
    got, why = post(guarded, path, body, Authorization=f"Bearer {TOKEN}")
    assert (got, words in why) == (status, True), why


def test_nobody_without_the_token_and_no_other_site_changes_anything(guarded: Page) -> None:
    label = {"label": "x"}
    assert post(guarded, "/marker", label)[0] == 401
    mine = {"Authorization": f"Bearer {TOKEN}"}
    assert post(guarded, "/marker", label, **mine, Origin="http://evil.example")[0] == 403
    assert post(guarded, "/marker", label, **mine, Sec_Fetch_Site="same-site")[0] == 403
    assert post(guarded, "/marker", label, **mine, Host="evil.example")[0] == 421
    assert guarded.feeds[None]._run.markers.count == 0
    assert post(guarded, "/marker", label, **mine)[0] == 204


def test_a_page_that_is_open_to_all_lets_nobody_do_anything(bundle: Bundle) -> None:
    page = page_of(bundle, open_to_all=True)
    page.begin()
    try:
        assert post(page, "/marker", {"label": "x"})[0] == 404
        page.result(result_of(1))
        assert page.feeds[None].controls == {}
    finally:
        page.end(None)


def test_a_fast_replay_has_no_now_to_mark(bundle: Bundle) -> None:
    page = Page(PageOptions("0"), Host(Pipeline(bundle, machine=MachineOptions(pace="fast"))))
    assert page.feeds[None].controls == {}
    page.end(None)


def test_a_recording_that_fails_is_not_begun_again(
    bundle: Bundle, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with running(bundle, tmp_path, said) as (page, kept):
        monkeypatch.setattr(RecordingWriter, "write", full)
        assert post(page, "/record", {"consent_id": "form 1"})[0] == 204
        until(lambda: any("record on request failed" in sentence for sentence in said))
        monkeypatch.undo()
        assert post(page, "/record", {"consent_id": "form 2"}) == (400, "recording has failed in this run\n")
        begun = kept.results
        until(lambda: kept.results > begun)  # the run goes on
    assert sum("failed" in sentence for sentence in said) == 1


def test_nothing_is_recorded_before_the_run(bundle: Bundle, tmp_path: Path) -> None:
    recorder = OnRequest(RecordOptions(tmp_path), Host(Pipeline(bundle)))
    with pytest.raises(ConfigurationError, match="the run has not begun"):
        recorder.start("form 1")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="may not be written to"):
        check_outputs([f"onrequest:{tmp_path / 'file' / 'deeper'}"], [Source()])
