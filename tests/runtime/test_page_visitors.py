"""How many visitors the page serves at a time, and those that are slow, wrong or take nothing."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from http.client import HTTPConnection

import pytest
from page_inputs import TOKEN, ask, event_stream, known, page_of, port_of, result_of, until

from emer_edge.bundle import Bundle
from emer_edge.runtime.outputs.page.output import Page
from emer_edge.runtime.outputs.page.server import VISITORS
from emer_edge.runtime.outputs.web_server import CONNECTIONS, STRANGERS, STRANGERS_OF_AN_ADDRESS


def slow_connection(page: Page) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port_of(page)), timeout=10)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
    return connection


def closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection on which it says nothing."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_wrong_tokens_are_slow_and_the_right_one_is_not(guarded: Page) -> None:
    guarded.server.wrong_s = 0.2
    began_s = time.monotonic()
    assert ask(guarded, "/enter", Authorization="Bearer wrong-wrong-wrong")[0].status == 401
    assert time.monotonic() - began_s >= 0.2
    guarded.server.wrong_s = 3600.0
    with contextlib.ExitStack() as stack:
        for number in range(2 * STRANGERS):
            guess = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(guarded)), timeout=10))
            guess.sendall(f"GET /enter HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {number}\r\n\r\n".encode())
        assert ask(guarded, "/enter", Authorization=f"Bearer {TOKEN}")[0].status == 204
        assert not closed(guess)


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


def test_strangers_make_room_for_strangers_and_nobody_else(guarded: Page) -> None:
    guarded.server.head_s = 60.0
    _, events = event_stream(guarded, Authorization=f"Bearer {TOKEN}")
    assert next(events)[0] == "hello"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(slow_connection(guarded)) for _ in range(2 * STRANGERS)]
        until(lambda: sum(map(closed, slow)) == len(slow) - STRANGERS_OF_AN_ADDRESS)
        assert not any(map(closed, slow[-STRANGERS_OF_AN_ADDRESS:]))  # the oldest go
        assert ask(guarded, Authorization=f"Bearer {TOKEN}")[0].status == 200
        guarded.result(result_of(1))
        assert any(name == "result" for name, _ in events)


def test_an_address_with_many_strangers_makes_room_for_others(bundle: Bundle) -> None:
    page = page_of(bundle, "0.0.0.0:0", TOKEN)
    page.server.head_s = 60.0
    page.begin()
    try:
        with contextlib.ExitStack() as stack:
            lonely = []
            for last in (2, 3, 4, 5):
                for _ in range(STRANGERS_OF_AN_ADDRESS if last < 4 else 1):
                    connection = stack.enter_context(socket.socket())
                    connection.settimeout(10)
                    connection.bind((f"127.0.0.{last}", 0))
                    connection.connect(("127.0.0.1", port_of(page)))
                    connection.sendall(b"GET /")
                    lonely += [connection] if last >= 4 else []
            until(lambda: ask(page)[0].status == 401)
            assert not any(map(closed, lonely))
    finally:
        page.end(None)


def test_known_visitors_beyond_the_limit_are_told(page: Page) -> None:
    page.server.head_s = 60.0
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = HTTPConnection("127.0.0.1", port_of(page), timeout=10)
            stack.callback(connection.close)
            connection.request("GET", "/", headers=known(page))
            assert connection.getresponse().read()
        with socket.create_connection(("127.0.0.1", port_of(page)), timeout=10) as connection:
            assert connection.recv(64).startswith(b"HTTP/1.1 503")

    def is_answered() -> bool:
        with contextlib.suppress(ConnectionError):
            return ask(page)[0].status == 200
        return False

    until(is_answered)


@pytest.mark.case("slow connections, as of Slowloris", before="32 of them kept everybody out for a quarter of a minute",
                  source="https://en.wikipedia.org/wiki/Slowloris_(cyber_attack)")  # fmt: skip
@pytest.mark.parametrize("seconds", [1.5, pytest.param(60.0, marks=pytest.mark.slow)])
def test_slow_connections_keep_no_known_visitor_out(guarded: Page, seconds: float) -> None:
    over = threading.Event()
    dribbled: list[int] = []

    def dribble() -> None:
        """Sixty connections that send a byte now and then, and come back when they are closed."""
        connections: list[socket.socket] = []
        while not over.wait(0.05):
            connections += [slow_connection(guarded) for _ in range(60 - len(connections))]
            for connection in list(connections):
                try:
                    connection.sendall(b"h")
                    dribbled.append(1)
                except OSError:
                    connections.remove(connection)
                    connection.close()
        for connection in connections:
            connection.close()

    attacker = threading.Thread(target=dribble)
    attacker.start()
    waited_s: list[float] = []
    try:
        until(lambda: len(dribbled) > 40)
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            assert ask(guarded, Authorization=f"Bearer {TOKEN}")[0].status == 200
            waited_s.append(time.monotonic() - began_s)
            over.wait(0.05)
    finally:
        over.set()
        attacker.join()
    assert len(dribbled) > 100
    if seconds > 10:
        assert max(waited_s) < 1.0


def test_a_visitor_that_takes_nothing_is_dropped(page: Page, said: list[str]) -> None:
    page.server.write_s = 0.2
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port_of(page)))
        connection.sendall(
            f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {known(page)['Authorization']}\r\n\r\n".encode()
        )
        until(lambda: page.feeds[None].visitors == 1)
        number = 0
        deadline_s = time.monotonic() + 10
        while page.feeds[None].visitors:
            assert time.monotonic() < deadline_s
            number += 1
            page.result(result_of(number))
            time.sleep(0.002)
    assert len(said) == 1  # where the page is; a visitor that goes is no news


@pytest.mark.case("a header a second, for ever", source="", before="each line had its own quarter of a minute")
def test_a_request_whose_head_takes_too_long_is_closed(page: Page) -> None:
    page.server.head_s = 0.3
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not closed(connection):
                connection.sendall(b"X: y\r\n")
                sent += 1
                time.sleep(0.02)
        assert 0 < sent < 90  # of a hundred headers it would be refused
