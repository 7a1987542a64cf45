"""The encoder process: takes images from shared memory and writes their bytes into a pipe, one after the other.

It holds numpy and OpenCV and nothing else, and ends when its standard input does, which the kernel closes however its
parent dies.
"""

from __future__ import annotations

import contextlib
import os
import sys

from emer_edge.data.images import import_cv2
from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.encoding.coding import encoded
from emer_edge.runtime.encoding.wire import HEAD, SLOTS, Asking
from emer_edge.runtime.image_ring import RingReader

__all__ = ["main", "serve"]


def main() -> None:
    """Encode; the arguments are the descriptors of the answers' pipe and of the shared memory."""
    answers, memory = int(sys.argv[1]), int(sys.argv[2])
    import_cv2().setNumThreads(1)
    with contextlib.suppress(BrokenPipeError):
        serve(0, answers, memory)


def serve(askings: int, answers: int, memory: int) -> None:
    """Answer until nobody can ask any more.

    Args:
        askings: descriptor of the pipe that images are announced in.
        answers: descriptor of the pipe for their bytes.
        memory: descriptor of shared memory.
    """
    reader = RingReader(memory, SLOTS)
    os.write(answers, HEAD.pack(-1, True, 0))
    while len(data := os.read(askings, Asking.size)) == Asking.size:
        asking = Asking.unpacked(data)
        image = reader.view(asking.number, asking.slot_bytes, asking.height, asking.width)
        try:
            told, done = encoded(image, asking.coding), True
        except EmerEdgeError as error:
            told, done = str(error).encode(), False
        rest = memoryview(HEAD.pack(asking.number, done, len(told)) + told)
        while rest:
            rest = rest[os.write(answers, rest) :]
