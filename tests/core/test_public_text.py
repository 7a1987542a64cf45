"""Texts as they are shown and kept, and where secrets come from."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from emer_edge.cli.console import CleanConsole
from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.core.public_text import holds_secret, one_is_singular, one_line, printable, public
from emer_edge.core.secrets import filled, load_secrets, named, seen_by_children


@pytest.mark.case(
    "passwords with several @, in queries, and in GStreamer's properties, in messages and names",
    source="",
    before="rtsp://ss@host: what stood before the first @ alone was taken out; queries and properties were not",
)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:p@ss@host/live", "rtsp://***@host/live"),
        (
            "can't open 'rtsp://me:p/a?s@host/x?token=abc&y=1': gone",
            "can't open 'rtsp://***@host/x?token=***&y=1': gone",
        ),
        ("me:secret@host answers", "***@host answers"),
        ("//me:secret@host/x answers", "//***@host/x answers"),
        ("rtsp://me:a\x00b\u200bc\x85d@host/x", "rtsp://***@host/x"),
        ("http://h/?PASSWORD=a,b;c&x=1&api_key=2 y", "http://h/?PASSWORD=***&x=1&api_key=*** y"),
        ("http://h/v?usr=me&pwd=x&authToken=z", "http://h/v?usr=***&pwd=***&authToken=***"),
        (
            'gst://rtspsrc location=rtsp://a:b@h/x user-id=me user-pw="my \\"pw" ! x',
            "gst://rtspsrc location=*** user-id=*** user-pw=*** ! x",
        ),
        ("user-pw = (string)'a b' ! x", "user-pw=*** ! x"),
        ("left: rtsp://host:554/live lost; write to a@b", "left: rtsp://host:554/live lost; write to a@b"),
        ("serial:///dev/x?baud=9600, author=me, monkey=3", "serial:///dev/x?baud=9600, author=me, monkey=3"),
    ],
)
def test_secrets_are_taken_out(text: str, shown: str) -> None:
    assert public(text) == shown
    assert str(CameraError(text)) == shown
    assert holds_secret(text) == (shown != text)


@pytest.mark.case(
    "escape sequences and marks of direction from a device, a server or a checkpoint, on the way to a terminal",
    source="https://trojansource.codes/",
    before="printed as they came",
)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07\x1b[2Jred", " ]0;owned  [2Jred"),
        ("abc\u202etxt.exe\u2066\u200f", "abc txt.exe  "),
        ("two\nlines\r\x85\u2028", "two\nlines   "),
        ("m\udcfcller \ud800", "m\\xfcller  "),
        ("é 笑 µs", "é 笑 µs"),
    ],
)
def test_what_can_not_be_seen_becomes_a_blank(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert one_line(f"  {text}  ") == " ".join(shown.split())


@given(
    st.text(), st.text("abcS!@:/?#%[]", min_size=4), st.sampled_from(["rtsp://u:{}@h/x", "user-pw={}", "x?token={}&a"])
)
def test_no_text_breaks_it_and_no_secret_survives(around: str, secret: str, form: str) -> None:
    text = f"{around.replace('=', '')} {form.format('Q9' + secret.strip())}"
    assert "Q9" not in public(text)
    assert all(each.isprintable() or each == "\n" for each in public(text))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_USER", "me")
    monkeypatch.setenv("LAB_PASSWORD", 'S3C"RET @/x')


def test_an_address_names_its_secrets(names: None) -> None:
    address = "rtsp://${LAB_USER}:${LAB_PASSWORD}@host/x"
    assert filled(address) == "rtsp://me:S3C%22RET%20%40%2Fx@host/x"
    assert filled("user-pw=${LAB_PASSWORD}") == 'user-pw="S3C\\"RET @/x"'
    assert named(address) == {"LAB_USER": "me", "LAB_PASSWORD": 'S3C"RET @/x'}
    assert named("films/${LAB_USER}.mp4") == {}
    assert (
        public('the server says: S3C"RET @/x, S3C%22RET%20%40%2Fx')
        == "the server says: ${LAB_PASSWORD}, ${LAB_PASSWORD}"
    )
    with pytest.raises(ConfigurationError, match=r"\$\{LAB_NOTHING\} is not set"):
        named("http://host/${LAB_NOTHING}")


def test_secrets_come_from_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("# ours\n\nLAB_ONE=a#b c \nexport LAB_TWO='x y'\n")
    monkeypatch.setenv("LAB_ONE", "older")
    monkeypatch.setenv("LAB_TWO", "")
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_secrets(path)
    path.chmod(0o600)
    load_secrets(path)
    assert (os.environ["LAB_ONE"], os.environ["LAB_TWO"]) == ("a#b c", "x y")
    path.write_text("LAB_ONE=a\nS3CRET\n")
    with pytest.raises(ConfigurationError, match="line 2 of") as refused:
        load_secrets(path)
    assert "S3CRET" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="can't read the secrets"):
        load_secrets(tmp_path / "none")


def test_children_see_what_holds_no_secrets(names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMER_EDGE_MQTT_PASSWORD", "x")
    monkeypatch.setenv("http_proxy", "http://me:x@proxy")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen = seen_by_children()
    assert not {"LAB_PASSWORD", "EMER_EDGE_MQTT_PASSWORD", "http_proxy"} & set(seen)
    assert {"PATH", "OMP_NUM_THREADS"} <= set(seen)


def test_nothing_but_the_console_steers_the_terminal() -> None:
    written = io.StringIO()
    console = CleanConsole(file=written, force_terminal=True, width=60, color_system="standard")
    table = Table("a\x1b[2Jb")
    table.add_row(Text("c\x1b]0;owned\x07d\u202e", "red"))
    console.print(table)
    console.print("[red]e[/red]\x1b[3Jf")
    text = written.getvalue()
    assert "\x1b[31m" in text
    assert not any(each in text for each in ("\x1b[2J", "\x1b]0;", "\x1b[3J", "\x07", "\u202e"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wrote x: 1 rows, 1 clips are skipped", "wrote x: 1 row, 1 clip is skipped"),
        ("skipped 1 more clips; 11 clips, 1 of 20 clips", "skipped 1 more clip; 11 clips, 1 of 20 clips"),
        ("0.1 seconds, v1 files, 2,1 rows, run-1 windows", "0.1 seconds, v1 files, 2,1 rows, run-1 windows"),
        ("1 streams were lost", "1 stream was lost"),
        ("1 clipses, 1 results", "1 clipses, 1 result"),
    ],
)
def test_one_is_singular(text: str, shown: str) -> None:
    assert one_is_singular(text) == shown
