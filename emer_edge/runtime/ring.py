"""Where items wait between two threads: a fixed number of places, the oldest item dropped and counted.

Items are passed by reference, nothing is copied. Several rings may share one bell, so that a thread can wait for
whatever comes first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

_Item = TypeVar("_Item")
_LONGEST_WAIT_S: Final = 0.1  # so that a stop asked for by a signal handler, which may not ring, is seen

Bell = threading.Condition
"""What a thread waits at; its lock guards the rings that ring it."""


class Ring(Generic[_Item]):
    """Items in order of arrival.

    Args:
        places: most items that wait.
        bell: rung by `put`; one of its own by default.

    Attributes:
        places: as above.
        bell: see there.
        dropped: items that had to make room for newer ones.

    Raises:
        ValueError: no place at all.
    """

    def __init__(self, places: int, bell: Bell | None = None) -> None:
        if places < 1:
            raise ValueError(f"a ring has at least one place, not {places}")
        self.places = places
        self.bell = bell or threading.Condition()
        self.dropped = 0
        self._items: list[_Item | None] = [None] * places
        self._first = self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, item: _Item, ring: bool = True) -> None:
        """Add an item; the oldest goes when there is no room.

        Args:
            item: passed on as it is.
            ring: whether to wake who waits; items that need not be taken at once are cheaper without.
        """
        with self.bell:
            self._items[(self._first + self._count) % self.places] = item
            if self._count == self.places:
                self._first = (self._first + 1) % self.places
                self.dropped += 1
            else:
                self._count += 1
            if ring:
                self.bell.notify_all()

    def take(self, wait_s: float = 0.0) -> _Item | None:
        """Take the oldest item; None when there is none, after waiting for one at most so long (and 0.1 s at most)."""
        with self.bell:
            if not self._count and wait_s > 0:
                self.bell.wait(min(wait_s, _LONGEST_WAIT_S))
            return self._pop() if self._count else None

    def take_while(self, fits: Callable[[_Item], bool]) -> list[_Item]:
        """Take items, the oldest first, up to the first that does not fit."""
        taken: list[_Item] = []
        with self.bell:
            while self._count:
                item = self._items[self._first]
                assert item is not None
                if not fits(item):
                    break
                taken.append(self._pop())
        return taken

    def _pop(self) -> _Item:
        item, self._items[self._first] = self._items[self._first], None
        self._first = (self._first + 1) % self.places
        self._count -= 1
        assert item is not None
        return item
