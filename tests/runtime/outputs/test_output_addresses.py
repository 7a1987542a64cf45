"""Outputs by address: what can be written, and that flags, addresses and Python mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from emer_edge.cli.output_flags import OutputFlags
from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import OUTPUTS, Output, Request, check_outputs, requested
from emer_edge.runtime.outputs.mqtt import Broker
from emer_edge.runtime.outputs.page.output import TOKEN_VARIABLE, PageOptions
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.outputs.session_folder import SessionFolder, SessionOptions
from emer_edge.runtime.recording.keep import RecordOptions, record_target

ALONE = [Source()]


@pytest.mark.parametrize(
    ("address", "name", "options"),
    [
        ("json:", "json", None),
        ("live:", "live", None),
        ("mqtt://host/a/b%20c", "mqtt", Broker("host", 1883, "a/b c", False)),
        ("mqtts://host", "mqtt", Broker("host", 8883, "emer-edge", True)),
        ("metrics://127.0.0.1:9400", "metrics", ("127.0.0.1", 9400)),
        ("metrics://:9108", "metrics", ("127.0.0.1", 9108)),
        ("metrics://[::1]:80", "metrics", ("::1", 80)),
        ("lsl://seat%204", "lsl", "seat 4"),
        ("http://127.0.0.1:8080", "page", PageOptions("127.0.0.1:8080")),
        ("http://:0/", "page", PageOptions(":0")),
        ("run.mcap", "record", RecordOptions(Path("run.mcap"))),
        ("mcap:recordings", "record", RecordOptions(Path("recordings"))),
        (
            "mcap:a/b c?images=jpeg&consent-id=form%2017&participant=p1&session=s1&retention-days=30",
            "record",
            RecordOptions(Path("a/b c"), "jpeg", "form 17", "p1", "s1", 30.0),
        ),
        ("onrequest:visits?retention-days=3", "record on request", RecordOptions(Path("visits"), retention_days=3.0)),
        ("session:kept?participant=p017", "session", SessionOptions(Path("kept"), None, "p017")),
        ("session:/a/b?participant=p1&session=s1", "session", SessionOptions(Path("/a/b"), "s1", "p1")),
    ],
)
def test_addresses(address: str, name: str, options: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert requested(address) == Request(name, options)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("mqt://host", "did you mean mqtt://HOST/TOPIC"),
        ("run.mp4", "outputs are session:FOLDER"),
        ("onrequest:visits?retention-days=x", "write onrequest:FOLDER"),
        ("onrequest:visits?images=none", "write onrequest:FOLDER"),
        ("json:file", "nothing may follow the colon"),
        ("ftp://me:secret@host/x", "ftp://***@host/x"),
        ("mqtt://me:secret@host/x", "EMER_EDGE_MQTT_USERNAME"),
        ("http://me:secret@127.0.0.1:8080", TOKEN_VARIABLE),
        ("metrics://here", "write --metrics :9108"),
        ("run.mcap?images=big", "images are none, jpeg or lossless"),
        ("run.mcap?colour=red", "images are none, jpeg or lossless"),
        ("run.mcap?images", "name=value"),
        ("session:?participant=p1", "write session:FOLDER"),
        ("session:kept?who=p1", "write session:FOLDER"),
    ],
)
def test_addresses_that_can_not_be_read(address: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        requested(address)
    assert named in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("lsl://", "an LSL stream's name"),
        ("http://0.0.0.0:8080", "only with a token"),
        ("run.mcap?images=jpeg", "--consent-id"),
        ("nowhere/run.mcap", "make it first"),
        ("session:kept", "--participant"),
        ("session:kept?participant=../p1", "pseudonym"),
    ],
)
def test_outputs_that_can_not_be_had(address: str, named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=named):
        check_outputs([address], ALONE)


def test_flags_and_addresses_ask_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "fae81c07d94b3625")
    flags = OutputFlags(
        json=True,
        serve="127.0.0.1:8080",
        serve_token="fae81c07d94b3625",
        save=Path("kept"),
        record="run.mcap",
        mqtt="mqtt://host/topic",
        metrics=":9108",
        lsl_out="emotions",
    )
    addresses = OutputFlags(
        out=[
            "json:",
            "http://127.0.0.1:8080",
            "session:kept",
            "run.mcap",
            "mqtt://host/topic",
            "metrics://:9108",
            "lsl://emotions",
        ]
    )
    assert flags.requests(ALONE) == addresses.requests(ALONE)
    assert [each.name for each in OutputFlags().requests(ALONE)] == ["live", "summary"]
    assert [each.name for each in OutputFlags(json=True).requests(ALONE)] == ["json", "summary"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (OutputFlags(record_video=True), "--record-video belong to a recording"),
        (OutputFlags(retention_days=3.0), "--retention-days"),
        (OutputFlags(consent_id="x"), "--consent-id belong to a recording"),
        (OutputFlags(record="x/", record_lossless=True), "add --record-video"),
        (OutputFlags(session="s1"), "--save FOLDER"),
        (OutputFlags(serve_open=True), "--serve-open belongs to a page"),
    ],
)
def test_flags_that_make_no_sense(flags: OutputFlags, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        flags.requests(ALONE)


def test_old_recordings_of_visitors_are_deleted_as_others_are() -> None:
    flags = OutputFlags(serve="0", serve_record=Path("visits"), retention_days=3.0)
    (asked,) = [request for request in flags.requests(ALONE) if request.name == "record on request"]
    assert asked.options == requested("onrequest:visits?retention-days=3").options


def test_a_participant_who_is_nowhere_saved_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--save FOLDER"):
        OutputFlags().requests([Source(participant="p1")])
    assert OutputFlags(out=["run.mcap"]).requests([Source(participant="p1")])


def test_of_several_people_each_says_its_own() -> None:
    people = [Source(name="left", participant="p1"), Source(name="right")]
    with pytest.raises(ConfigurationError, match=r"one person's.*missing in right"):
        OutputFlags(save=Path("kept"), participant="p9").requests(people)


def test_where_sessions_are_saved(tmp_path: Path) -> None:
    options = SessionOptions(tmp_path)
    (place,) = SessionFolder.settle(options, [Source(participant="p1")])
    assert place.folder.parent == tmp_path / "p1"
    (tmp_path / "p1" / "s1").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="another --session"):
        SessionFolder.settle(SessionOptions(tmp_path, "s1"), [Source(participant="p1")])
    people = [Source(name=name, participant="p2") for name in ("left", "right")]
    places = SessionFolder.settle(SessionOptions(tmp_path, "s1"), people)
    assert [each.folder for each in places] == [tmp_path / "p2" / "s1-left", tmp_path / "p2" / "s1-right"]


@pytest.mark.case("`--record name/`, a folder that is not there yet", before="a file called name", source="seen")
def test_a_folder_to_record_into(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path):
        (alone,) = Recorder.settle(RecordOptions(folder), ALONE)
        assert (alone.path.parent, alone.path.suffix) == (folder, ".mcap")
        left, right = Recorder.settle(RecordOptions(folder), [Source(name="left"), Source(name="right")])
        assert left.path.name.removesuffix("-left.mcap") == right.path.name.removesuffix("-right.mcap")
        assert left.path.parent == right.path.parent == folder
    for name in ("run.avi", "run.MCAP", "run.mcap.tmp"):
        with pytest.raises(ConfigurationError, match=r"ends with \.mcap"):
            record_target(str(tmp_path / name))
    assert record_target(f"{tmp_path}/new/") == tmp_path / "new"
    with pytest.raises(ConfigurationError, match="name a folder"):
        Recorder.settle(RecordOptions(tmp_path / "run.mcap"), [Source(name="left")])


@pytest.mark.parametrize("driver", OUTPUTS, ids=lambda driver: driver.name)
def test_a_line_of_the_registry_fits_its_class(driver: object) -> None:
    made = driver.load()  # type: ignore[attr-defined]
    assert issubclass(made, Output)
    assert made.name == driver.name  # type: ignore[attr-defined]
