from __future__ import annotations

import threading
import time

import pytest

from emer_edge.runtime.ring import Bell, Ring


def test_items_come_out_in_order_and_by_reference() -> None:
    ring: Ring[list[int]] = Ring(3)
    items = [[number] for number in range(3)]
    for each in items:
        ring.put(each)
    assert len(ring) == 3
    assert all(ring.take() is each for each in items)
    assert ring.take() is None
    assert ring.dropped == 0


@pytest.mark.parametrize("places", [1, 3, 8])
def test_the_oldest_goes_and_is_counted(places: int) -> None:
    ring: Ring[int] = Ring(places)
    for number in range(20):
        ring.put(number)
    assert ring.take_while(lambda each: True) == list(range(20 - places, 20))
    assert ring.dropped == 20 - places
    assert ring.dropped + places == 20


def test_only_what_fits_is_taken() -> None:
    ring: Ring[int] = Ring(4)
    for number in (1, 2, 5, 3):
        ring.put(number)
    assert ring.take_while(lambda each: each < 4) == [1, 2]
    assert len(ring) == 2
    ring.put(6)
    assert ring.take_while(lambda each: True) == [5, 3, 6]
    assert ring.dropped == 0


def test_a_ring_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ring(0)


def test_an_item_wakes_who_waits() -> None:
    ring: Ring[str] = Ring(2)
    taken: list[str | None] = []

    def wait() -> None:
        while not taken:
            item = ring.take(60.0)
            if item is not None:
                taken.append(item)

    thread = threading.Thread(target=wait)
    thread.start()
    ring.put("here")
    thread.join(10)
    assert taken == ["here"]


def test_waiting_ends_by_itself() -> None:
    began_s = time.monotonic()
    assert Ring[int](1).take(60.0) is None
    assert time.monotonic() - began_s < 30


def test_rings_share_a_bell() -> None:
    bell = Bell()
    one, other = Ring[int](2, bell), Ring[int](2, bell)
    woken = threading.Event()

    def wait() -> None:
        with bell:
            while not (len(one) or len(other)):
                bell.wait(1.0)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    other.put(1, ring=False)
    one.put(1)
    assert woken.wait(10)
    thread.join(10)


def test_two_threads_lose_nothing_that_is_not_counted() -> None:
    ring: Ring[int] = Ring(16)
    taken: list[int] = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set() or len(ring):
            item = ring.take(0.01)
            if item is not None:
                taken.append(item)

    thread = threading.Thread(target=take)
    thread.start()
    for number in range(1, 5001):
        ring.put(number)
    done.set()
    thread.join(20)
    assert taken == sorted(taken)
    assert len(taken) + ring.dropped == 5000
