from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emer_edge.bundle import Bundle
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import Supervisor, play


@pytest.fixture(params=["a path", "an abstract name"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "a path" else f"@emer-edge-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening, name


def heard(listening: socket.socket) -> list[str]:
    listening.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(listening.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_what_systemd_hears(listener: tuple[socket.socket, str]) -> None:
    listening, name = listener
    supervisor = Supervisor({"NOTIFY_SOCKET": name})
    supervisor.ready("two\nlines")
    for _ in range(5):
        supervisor.alive()
    supervisor.stopping()
    assert heard(listening) == ["READY=1\nSTATUS=two lines", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}], ids=["none", "nobody there"])
def test_without_a_supervisor_nothing_happens(environment: dict[str, str]) -> None:
    supervisor = Supervisor(environment)
    supervisor.ready("ready")
    supervisor.alive()
    supervisor.stopping()


def test_one_that_does_not_read_holds_up_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "deaf"))
        supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(2000):
            supervisor.ready("still here")


def test_a_run_tells_its_supervisor(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        play(Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0), [])
        messages = heard(listening)
    assert messages[0].startswith("READY=1\nSTATUS=reading ")
    assert messages[1] == "WATCHDOG=1"
    assert messages[-1] == "STOPPING=1"
