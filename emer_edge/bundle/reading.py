"""Reading a stranger's folder: each file is opened once, inside the folder, without following a link."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any, Final

from emer_edge.core.errors import BundleError

_NAME: Final = re.compile(r"(?=.{1,128}$)\w[\w.+-]*(/\w[\w.+-]*){0,2}", re.ASCII)


def check_names(folder: Path, listed: Collection[str], own: Collection[str]) -> None:
    """Raise BundleError where a folder holds more than what is `listed` and its `own`, or a name leaves it."""
    for name in listed:
        if not _NAME.fullmatch(name) or name in own:
            what = "leaves the folder" if name[:1] == "/" or ".." in name else "no export writes"
            raise BundleError(f"{folder}: the manifest names a file {name[:60]!r}, which {what}; don't use this bundle")
    for root, folders, files in os.walk(folder):
        for each in (*files, *(each for each in folders if os.path.islink(os.path.join(root, each)))):
            if (name := Path(root, each).relative_to(folder).as_posix()) not in {*listed, *own}:
                raise BundleError(f"{folder} holds {name[:128]!r}, which its manifest does not list; remove that file")


def read_inside(folder: Path, name: str, most: int) -> tuple[bytes, str]:
    """Content and SHA-256 of a file of up to `most` bytes; BundleError where it is missing, no file, or a link."""
    try:
        file = os.fdopen(_opened(folder, name), "rb")
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.ENOTDIR)
        why = "it is a link" if link else "it is missing" if error.errno == errno.ENOENT else error.strerror
        raise BundleError(f"{folder} lacks {name}: {why}; copy the bundle again, with the files themselves") from None
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise BundleError(f"{folder}: {name} is no file, or is larger than {most:,} bytes; copy the bundle again")
        content = file.read(most)
    return content, hashlib.sha256(content).hexdigest()


def _opened(folder: Path, name: str) -> int:
    """Descriptor of a file, opened step by step from its folder's, so that a link is followed at no step."""
    *folders, last = PurePosixPath(name).parts
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in folders:
            inner = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def read_json(data: bytes) -> Any:
    """Decode JSON so that it has one meaning for all; ValueError (RecursionError where it is deep) for any other."""
    numbers = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), _number)
    return json.loads(data.decode(), object_pairs_hook=_object, **numbers)  # type: ignore[arg-type]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        for each in (key, *(value if isinstance(value, list) else (value,))):
            if isinstance(each, str) and (len(each) > 1000 or not each.isprintable()):
                raise ValueError(f"the text {each[:40]!r} has more than 1000 letters, or can't be shown")
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) <= 1e15:
        raise ValueError(f"{text[:20]} is no number that is meant")
    return int(text) if text.lstrip("-").isdecimal() else value
