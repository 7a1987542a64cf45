"""Work that processes and machines are given in these tests; they import this file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from emer_edge.core.errors import EngineError, MissingExtraError
from emer_edge.runtime.session import Session


def doubled(session: Session, item: int) -> tuple[str, int]:
    return session.bundle.manifest.name, 2 * item


def slow_first(_: Session, item: int) -> int:
    time.sleep(0.5 if item == 0 else 0.0)
    return item


def marked(_: Session, path: Path) -> str:
    path.touch()
    return path.name


def ended(_: Session, item: int, signal_number: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal_number)
    return item


def left(_: Session, item: int) -> int:
    if item == 3:
        os._exit(7)
    return item


def refused(_: Session, item: int) -> int:
    if item == 3:
        raise EngineError("the engine refuses item 3")
    return item


def lacking(_: Session, item: int) -> int:
    raise MissingExtraError("item", "a package", "extra") if item == 3 else EngineError("another")


def hungry(_: Session, item: int) -> int:
    raise MemoryError


def process(_: Session, item: int) -> int:
    return os.getpid()


def process_and_session(session: Session, item: int) -> tuple[int, int]:
    time.sleep(0.05)
    return os.getpid(), id(session)


def mistaken(_: Session, item: int) -> int:
    return item // 0


def environment(_: Session, name: str) -> str | None:
    return os.environ.get(name)


def waiting(_: Session, folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)
