"""How a bundle remembers which clips it was trained on without naming anybody."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from emer_edge.errors import DataError

__all__ = ["HashableClip", "clip_hash", "new_salt"]


class HashableClip(Protocol):
    """The part of a clip that is hashed."""

    @property
    def name(self) -> str:
        """The clip's name."""
        ...

    @property
    def frame_paths(self) -> Sequence[Path]:
        """Its frames in order."""
        ...


def new_salt() -> str:
    """A random salt for a bundle's hashes, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def clip_hash(salt: str, clip: HashableClip) -> str:
    """Salted hash of a clip, 32 hexadecimal digits.

    It covers the bytes of the first, the middle and the last frame, so that a renamed clip keeps its hash and two data
    sets that share clip names don't get in each other's way.

    Raises:
        DataError: the clip has no frames, or one can't be read.
    """
    paths = clip.frame_paths
    if not paths:
        raise DataError(f"clip {clip.name} has no frames to tell it by")
    digest = hashlib.sha256(salt.encode())
    for at in sorted({0, len(paths) // 2, len(paths) - 1}):
        try:
            content = paths[at].read_bytes()
        except OSError as error:
            raise DataError(f"can't open the frame {paths[at]}: {error.strerror}") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]
