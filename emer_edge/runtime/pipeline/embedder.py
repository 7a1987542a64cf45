"""Crops to embeddings, each once, whichever of two threads needs it first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import EngineError
from emer_edge.data.images import stack_faces
from emer_edge.runtime.faces import FaceCandidate
from emer_edge.runtime.session import Session

Made = tuple[NDArray[np.float32], int]
"""An embedding (width,), and the nanoseconds that it took."""


class Embedder:
    """Encodes the last crop of a hop before the hop's step is due, so that the step does not wait for the encoder."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turn = threading.Lock()
        self._newest: tuple[FaceCandidate, Made] | None = None

    @contextmanager
    def early(self, face: FaceCandidate) -> Iterator[None]:
        """Encode a crop once the block is done, in which its look is handed on: a step that needs it waits for it."""
        with self._turn:
            yield
            began_ns = perf_counter_ns()
            with suppress(EngineError):  # the step tries again, and reports it
                embedding = self._session.encode(stack_faces([face.crop]))[0]
                self._newest = face, (embedding, perf_counter_ns() - began_ns)

    def made(self, face: FaceCandidate) -> Made | None:
        """What `early` made of a crop, once it is done; None where it was not asked for."""
        with self._turn:
            newest = self._newest
        return newest[1] if newest is not None and newest[0] is face else None
