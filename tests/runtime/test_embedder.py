"""Crops that are encoded before their step: once, by whichever thread comes first, with the same numbers."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from runtime_inputs import scene

from emer_edge.core.errors import EngineError
from emer_edge.runtime.faces import FaceCandidate, align
from emer_edge.runtime.pipeline.embedder import Embedder
from emer_edge.runtime.session import Session

LANDMARKS = np.array([[30, 40], [80, 40], [55, 65], [35, 90], [75, 90]], np.float32)


def candidate(shift: int) -> FaceCandidate:
    return FaceCandidate(shift, align(scene(100 + shift, 90), LANDMARKS + shift, LANDMARKS), 0, 0)


def test_what_was_encoded_early_is_what_the_step_would_make(session: Session) -> None:
    one, other = candidate(0), candidate(20)
    embedder = Embedder(session)
    assert embedder.made(one) is None
    with embedder.early(one):
        pass
    made = embedder.made(one)
    assert made is not None
    crop = one.crop.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(made[0], session.encode(crop)[0])
    assert made[1] > 0
    assert embedder.made(other) is None
    with embedder.early(other):
        pass
    assert embedder.made(one) is None  # it is of an earlier hop


def test_a_step_that_comes_meanwhile_waits_and_does_not_encode_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go, calls, encode = threading.Event(), threading.Event(), list[int](), session.encode

    def slow(face: NDArray[np.float32]) -> NDArray[np.float32]:
        calls.append(len(face))
        began.set()
        assert go.wait(20)
        return encode(face)

    monkeypatch.setattr(session, "encode", slow)
    embedder, face, posted = Embedder(session), candidate(0), list[bool]()

    def look() -> None:
        with embedder.early(face):
            posted.append(not calls)

    thread = threading.Thread(target=look)
    thread.start()
    assert began.wait(20)
    threading.Timer(0.2, go.set).start()
    began_s = time.monotonic()
    assert embedder.made(face) is not None
    assert time.monotonic() - began_s > 0.1
    thread.join()
    assert (posted, calls) == ([True], [1])  # the look was handed on first


def test_an_encoder_that_fails_is_left_to_the_step(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(face: NDArray[np.float32]) -> NDArray[np.float32]:
        raise EngineError("out of memory")

    monkeypatch.setattr(session, "encode", fails)
    embedder, face = Embedder(session), candidate(0)
    with embedder.early(face):
        pass
    assert embedder.made(face) is None
