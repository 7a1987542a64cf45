from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.runtime.address import parse_address
from emer_edge.runtime.trackers import TrackerOptions, open_tracker


@pytest.mark.parametrize(
    ("text", "scheme", "path", "parameters"),
    [
        ("/dev/ttyUSB0", "", "/dev/ttyUSB0", {}),
        ("/dev/ttyACM0?format=csv", "", "/dev/ttyACM0", {"format": "csv"}),
        (
            "serial:///dev/ttyUSB0?baud=921600&format=emer",
            "serial",
            "/dev/ttyUSB0",
            {"baud": "921600", "format": "emer"},
        ),
        ("what? a name.tsv", "", "what? a name.tsv", {}),
        ("lab://host:4242/x", "lab", "host:4242/x", {}),
    ],
)
def test_sources_are_taken_apart(text: str, scheme: str, path: str, parameters: dict[str, str]) -> None:
    source = parse_address(text)
    assert (source.scheme, source.path, dict(source.parameters)) == (scheme, path, parameters)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("serial://dev/ttyUSB0", "three slashes"),
        ("serial://", "three slashes"),
        ("serial://[", "can't read the address"),
        ("/dev/null?baud", "name=value"),
        ("/dev/null?baud=1&baud=2", "given twice"),
        ("/dev/null?speed=9600", "unknown speed; known are baud, format, rate, columns, camera"),
        ("/dev/null?baud=fast", "baud is a number from 50 to"),
        ("/dev/null?rate=nan", "rate is a number"),
        ("/dev/null?format=iscan3", "known are emer, csv"),
        ("/dev/null?format=emer&columns=x,y", "belongs to format=csv"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_tracker(text)


def test_an_unknown_scheme_lists_the_drivers() -> None:
    with pytest.raises(TrackerError, match=r"no tracker driver knows 'lab://host'.*serial: /dev/ttyUSB0.*file:"):
        open_tracker("lab://host")


def test_an_unknown_pace_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="real or fast"):
        open_tracker("x.tsv", TrackerOptions(pace="slow"))


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("/:?&=#[]@%serialdev", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_address(text)
