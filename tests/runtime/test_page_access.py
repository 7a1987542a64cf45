"""Who is let in to the page, and what is answered."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import subprocess
import sys
import time
import uuid
from http.client import HTTPConnection
from importlib.resources import files
from pathlib import Path

import pytest
from page_inputs import TOKEN, ask, known, page_of, port_of, result_of, show_face, token_of

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.outputs.page.output import Page
from emer_edge.runtime.outputs.web_access import PASS_S, page_address
from emer_edge.runtime.outputs.web_server import POLICY

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


@pytest.mark.case("a token that anybody would try", source="", before="taken")
@pytest.mark.parametrize(
    "token",
    ["a" * 16, "0123456789abcdef", "1234567890123456", "abcd" * 5, "passwordpassword", "Password12345678",
     "secret-token-secret", "qwertyuiopasdfgh", "zyxwvutsrqponmlkji", "k7Kq" * 4, "emer-edge-emer-edge",
     "1111111122222222"],
)  # fmt: skip
def test_trivial_tokens_are_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match=r"easy to guess.*openssl rand -hex 16") as raised:
        page_address("8080", token)
    assert token not in str(raised.value)


def test_tokens_that_programs_make_are_taken() -> None:
    for _ in range(500):
        for token in (secrets.token_hex(16), secrets.token_urlsafe(16), str(uuid.uuid4()), secrets.token_hex(32)):
            assert page_address("8080", token).port == 8080


def test_a_page_is_open_only_where_that_is_asked_for_and_only_here(bundle: Bundle, said: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"--serve-open.*leave one of them out"):
        page_address("8080", TOKEN, open_to_all=True)
    with pytest.raises(ConfigurationError, match="others can reach"):
        page_address("0.0.0.0:8080", None, open_to_all=True)
    page = page_of(bundle, open_to_all=True, say=said.append)
    page.begin()
    try:
        assert said == [f"page: {page.server.address.url}"]
        assert ask(page)[0].status == 200
        assert ask(page, "/enter")[0].status == 404
    finally:
        page.end(None)


@pytest.mark.case("another user of the machine opens http://127.0.0.1:8080/", source="", before="he saw everything")
def test_a_page_on_loopback_has_a_token_of_its_own(page: Page, said: list[str]) -> None:
    assert said == [f"page: {page.server.address.url}#token={token_of(page)}"]
    assert len(token_of(page)) >= 22  # 128 bits
    for path in ("/", "/events", "/frame", "/enter"):
        assert ask(page, path, Authorization="")[0].status == 401
    assert b"needs a token" in ask(page, Authorization="")[1]


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
        ("/%00", 404, "text/plain"),
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


def raw(page: Page, request: bytes) -> bytes:
    """The first bytes of the answer to a request as it is written here."""
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=10) as connection:
        with contextlib.suppress(OSError):  # answered and closed before all was sent
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(64)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/1.1", 421),  # of two names one is foreign
        (b"OPTIONS * HTTP/1.1", 405),
        (b"CONNECT evil.example:443 HTTP/1.1", 405),
        (b"GET http://evil.example/ HTTP/1.1", 421),
        (b"GET http://user@127.0.0.1/ HTTP/1.1", 421),
        (b"GET http://127.0.0.1:99999/ HTTP/1.1", 400),
        (b"GET ftp://127.0.0.1/ HTTP/1.1", 400),
        (b"GET file:///etc/passwd HTTP/1.1", 400),
        (b"GET http://[::1/ HTTP/1.1", 400),
        (b"GET http://\xe2\x84\x80/ HTTP/1.1", 421),
        (b"GET * HTTP/1.1", 400),
        (b"GET page.css HTTP/1.1", 400),
        (b"GET  HTTP/1.1", 400),
        (b"GET / HTTP/9.9", 505),
        (b"GET / HTTQ/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),  # TLS
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300, 431),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5", 400),
    ],
)
def test_odd_requests_are_answered_with_a_status(page: Page, said: list[str], line: bytes, status: int) -> None:
    two = (
        b"Host: localhost\r\nHost: evil.example\r\n" if status == 421 and b"//" not in line else b"Host: localhost\r\n"
    )
    assert raw(page, line + b"\r\n" + two + b"\r\n").startswith(b"HTTP/1.1 %d" % status)
    assert len(said) == 1  # where the page is: none of them is a fault of it


def test_an_absolute_target_and_one_without_a_version_are_answered(page: Page) -> None:
    assert raw(page, b"GET http://localhost:9/page.css HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert raw(page, b"GET /page.css\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert raw(page, b"GET /page.css\r\n\r\n").startswith(b"HTTP/1.1 421")


@pytest.mark.case("another site's page asks for http://localhost:8080/frame", source="", before="answered")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:8080"}, 200),
        ({"Origin": "https://127.0.0.1:8080"}, 200),  # behind a proxy that adds TLS
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
        ({"Sec_Fetch_Site": ""}, 403),
        ({"Sec_Fetch_Site": "none", "Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8888"}, 403),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_requests_of_other_sites_are_refused(page: Page, headers: dict[str, str], status: int) -> None:
    for path in ("/", "/page.js"):
        assert ask(page, path, Host="127.0.0.1:8080", **headers)[0].status == status


def test_without_the_token_there_is_no_data(guarded: Page, bundle: Bundle) -> None:
    guarded.server.wrong_s = 0.01
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
    assert set(rules) == {"Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={PASS_S}"}
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


@pytest.mark.case("a cookie of last week", source="", before="good for ever")
def test_a_pass_expires_and_can_not_be_stretched(guarded: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = guarded.server.access.cookie().partition(";")[0]
    name, _, value = cookie.partition("=")
    until, _, proof = value.partition(".")
    for changed in (
        f"{int(until) + 60}.{proof}",
        f"{until}.",
        f".{proof}",
        f"{until}{proof}",
        f"-1.{proof}",
        "²." + proof,
    ):
        assert ask(guarded, "/", Cookie=f"{name}={changed}".encode().decode("latin-1"))[0].status == 401
    now_s = time.time()
    for later_s, status in ((PASS_S - 60, 200), (PASS_S + 60, 401), (-60, 401)):
        monkeypatch.setattr(time, "time", lambda later_s=later_s: now_s + later_s)
        assert ask(guarded, "/", Cookie=cookie)[0].status == status


def test_nothing_is_written_about_visitors(guarded: Page, capfd: pytest.CaptureFixture[str]) -> None:
    ask(guarded, f"/?token={TOKEN}")
    ask(guarded, "/enter", Authorization=f"Bearer {TOKEN}")
    assert capfd.readouterr() == ("", "")


def test_one_connection_serves_many_requests(page: Page) -> None:
    connection = HTTPConnection("127.0.0.1", port_of(page), timeout=5)
    for path in ("/", "/page.css", "/page.js"):
        connection.request("GET", path, headers=known(page))
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
