"""Who is let in to the page, what is answered, and how many at a time."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from importlib.resources import files
from pathlib import Path

import pytest
from page_inputs import TOKEN, ask, event_stream, page_of, port_of, result_of, show_face, until

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.outputs.page import server
from emer_edge.runtime.outputs.page.access import page_address
from emer_edge.runtime.outputs.page.output import Page
from emer_edge.runtime.outputs.page.server import CONNECTIONS, POLICY, VISITORS

STATIC = files("emer_edge.runtime.outputs.page").joinpath("static")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8080", "127.0.0.1", 8080),
        (":8080", "127.0.0.1", 8080),
        ("localhost:80", "localhost", 80),
        ("[::1]:0", "::1", 0),
        ("127.0.0.7:9000", "127.0.0.7", 9000),
    ],
)
def test_addresses_of_this_machine_need_no_token(text: str, host: str, port: int) -> None:
    address = page_address(text, None)
    assert (address.host, address.port, address.loopback) == (host, port, True)


@pytest.mark.parametrize("text", ["", "port", "80800", "::1:80", "host:", "8080/x", "-1", "²"])
def test_addresses_that_can_not_be_read(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--serve 8080"):
        page_address(text, None)


@pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::]:8080", "192.0.2.7:8080", "lab.example:8080"])
def test_other_addresses_need_a_token(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"EMER_EDGE_SERVE_TOKEN.*--serve 8080"):
        page_address(text, None)
    assert page_address(text, TOKEN).port == 8080


@pytest.mark.parametrize("token", ["", "short", "sixteen or more!", "müller-müller-müller"])
def test_tokens_that_are_refused_are_not_repeated(token: str) -> None:
    with pytest.raises(ConfigurationError, match="16 or more") as raised:
        page_address("8080", token)
    assert not token or token not in str(raised.value)


def test_a_busy_port_names_a_free_one(bundle: Bundle, page: Page) -> None:
    with pytest.raises(ConfigurationError, match=f"port {port_of(page)} is in use by another program") as raised:
        page_of(bundle, str(port_of(page)))
    found = re.search(r"--serve (\d+)", str(raised.value))
    assert found is not None
    other = page_of(bundle, found[1])
    assert port_of(other) == int(found[1])
    other.end(None)


def test_a_busy_port_is_one_line_on_the_command_line(bundle: Bundle, page: Page, video: Path, tracker: Path) -> None:
    command = [sys.executable, "-m", "emer_edge", "run", str(bundle.path), "--camera", str(video)]
    command += ["--tracker", str(tracker), "--serve", str(port_of(page))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "emer-edge run ... --serve" in done.stderr


def test_an_address_of_another_machine_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="not an address of this machine"):
        page_of(bundle, "192.0.2.7:8080", TOKEN)
    with pytest.raises(ConfigurationError, match="no machine is known"):
        page_of(bundle, "nowhere.invalid:8080", TOKEN)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/", 200, "text/html; charset=utf-8"),
        ("/page.js", 200, "text/javascript; charset=utf-8"),
        ("/page.css", 200, "text/css; charset=utf-8"),
        ("/icon.svg", 200, "image/svg+xml"),
        ("/frame", 200, "image/jpeg"),
        ("/nothing", 404, "text/plain"),
        ("/index.html", 404, "text/plain"),
        ("/../server.py", 404, "text/plain"),
        ("/..%2fserver.py", 404, "text/plain"),
        ("//example.org/page.css", 404, "text/plain"),
        ("/enter", 404, "text/plain"),
    ],
)
def test_every_answer_carries_the_policy(page: Page, path: str, status: int, kind: str) -> None:
    page.feeds[None].video.newest(0, 0.0)  # watched from now on
    show_face(page, 1)
    answer, body = ask(page, path)
    assert answer.status == status
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert POLICY.startswith("default-src 'self';")
    assert "unsafe" not in POLICY
    for name, value in {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }.items():
        assert answer.headers[name] == value
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Python" not in answer.headers["Server"]
    assert body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_only_get_is_answered(page: Page, method: str) -> None:
    answer, body = ask(page, "/", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert b"html" not in body


def test_a_request_with_a_body_is_refused(page: Page) -> None:
    assert ask(page, "/", Content_Length="5")[0].status == 400
    assert ask(page, "/", Transfer_Encoding="chunked")[0].status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9999", 200),  # through ssh -L
        ("[::1]:8080", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8080", 421),
        ("192.0.2.7", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_names_of_other_machines_are_not_answered(page: Page, host: str, status: int) -> None:
    assert ask(page, "/", Host=host)[0].status == status


def test_a_request_names_one_host(page: Page) -> None:
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 421")


def test_without_the_token_there_is_no_data(guarded: Page, bundle: Bundle) -> None:
    guarded.result(result_of(1))
    show_face(guarded, 1)
    for path in ("/", "/events", "/frame", "/enter"):
        for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong"}, {"Cookie": "emer-edge=1; x"}):
            answer, body = ask(guarded, path, **headers)
            assert answer.status == 401
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            for secret in (bundle.manifest.name, "happiness", TOKEN):
                assert secret.encode() not in body
    assert b"needs a token" in ask(guarded)[1]


def test_the_token_is_traded_for_a_pass_that_outlives_a_restart(guarded: Page, bundle: Bundle, said: list[str]) -> None:
    answer, _ = ask(guarded, "/enter", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 204
    cookie, *rules = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(rules)
    assert TOKEN not in cookie
    assert ask(guarded, "/", Cookie=cookie)[0].status == 200
    assert ask(guarded, "/", Cookie=cookie[:-1])[0].status == 401
    assert ask(guarded, "/", Authorization=f"Bearer {TOKEN}")[0].status == 200
    port = port_of(guarded)
    guarded.end(None)
    again = page_of(bundle, str(port), TOKEN, say=said.append)
    again.begin()
    assert ask(again, "/", Cookie=cookie)[0].status == 200
    again.end(None)
    assert not any(TOKEN in each for each in said)


def test_nothing_is_written_about_visitors(guarded: Page, capfd: pytest.CaptureFixture[str]) -> None:
    ask(guarded, f"/?token={TOKEN}")
    ask(guarded, "/enter", Authorization=f"Bearer {TOKEN}")
    assert capfd.readouterr() == ("", "")


def test_visitors_beyond_the_limit_are_told(page: Page) -> None:
    streams = [event_stream(page) for _ in range(VISITORS)]
    for _, events in streams:
        assert next(events)[0] == "hello"
    answer, body = ask(page, "/events")
    assert (answer.status, body) == (503, b"too many watch already\n")
    assert ask(page)[0].status == 200
    streams.pop()[0].shutdown(socket.SHUT_RDWR)
    until(lambda: page.feeds[None].visitors < VISITORS)
    _, events = event_stream(page)
    assert next(events)[0] == "hello"
    for connection, _ in streams:
        connection.close()


def test_connections_beyond_the_limit_are_closed(page: Page) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(page)), timeout=5))
        with socket.create_connection(("127.0.0.1", port_of(page)), timeout=5) as connection:
            assert connection.recv(64).startswith(b"HTTP/1.1 503")

    def is_answered() -> bool:
        with contextlib.suppress(ConnectionError):
            return ask(page)[0].status == 200
        return False

    until(is_answered)


def test_a_visitor_that_takes_nothing_is_dropped(page: Page, said: list[str]) -> None:
    page.server.write_s = 0.2
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port_of(page)))
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: page.feeds[None].visitors == 1)
        number = 0
        deadline_s = time.monotonic() + 10
        while page.feeds[None].visitors:
            assert time.monotonic() < deadline_s
            number += 1
            page.result(result_of(number))
            time.sleep(0.002)
    assert len(said) == 1  # where the page is; a visitor that goes is no news


def test_a_dribbling_request_is_closed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.PageHandler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=5) as connection:
        connection.sendall(b"GET / HT")
        assert connection.recv(64) == b""


def test_one_connection_serves_many_requests(page: Page) -> None:
    connection = HTTPConnection("127.0.0.1", port_of(page), timeout=5)
    for path in ("/", "/page.css", "/page.js"):
        connection.request("GET", path)
        assert connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize("name", ["index.html", "locked.html"])
def test_pages_hold_no_script_and_no_style_of_their_own(name: str) -> None:
    text = STATIC.joinpath(name).read_text("utf-8")
    for opening, inside in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S):
        assert "src=" in opening
        assert not inside
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|https?:|javascript:", text)
    for source in re.findall(r'(?:src|href)="([^"#]+)"', text):
        assert STATIC.joinpath(source).is_file()


def test_no_file_names_another_site() -> None:
    for each in STATIC.iterdir():
        text = each.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|eval\(", text), each.name
