"""Targets of fuzzing, and seeded mutations of valid inputs: of bytes, JSON documents, and files inside ZIP archives."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Mutate = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A decoder or reader to fuzz.

    Attributes:
        name: of the decoder or reader.
        seeds: valid inputs to start from.
        mutate: makes an input from a seed.
        one: takes an input; any exception is a failure. The random numbers only cut it into pieces.
        inputs: their number.
        modules: to instrument by a coverage-guided engine.
    """

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    mutate: Mutate
    one: Callable[[bytes, Random], None]
    inputs: int
    modules: tuple[str, ...] = ()


NASTY = (
    b"\0", b"\xff" * 4, b"\x44\x44", b"\n", b"\r\n", b"\n\n\n", b'"', b"'", b";", b",", b"\t", b" ", b"=", b"<", b"/>",
    b"nan", b"-nan", b"inf", b"-1", b"0", b"1e999", b"-1e308", b"1e-400", b"9" * 40, b"0" * 70, b"0x10", b"1_0", b".",
    b"e9", b"99999999999999999999", b"9223372036854775807", b"2147483648", b"65536", b"\x00\x00\xc0\x7f",
    b"\x00\x00\x80\x7f", b"\xef\xbb\xbf", b"\xff\xfe", "\u2212\u0661\u0085\u2028".encode(), b"{", b"[", b"[" * 2000,
    b"null", b"true", b"A" * 4200, b"\xc3", b"PK\x03\x04",
)  # fmt: skip
"""What parsers stumble over."""

_JSON: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**40, 0.5, 1e308, -1e-320, "", "x", "\0", "../../etc/passwd",
    "/etc/passwd", "\ud7ff", "a" * 5000, [], {}, [[]], [0, 0], {"": 0},
)  # fmt: skip


def mutated(random: Random, data: bytes, tokens: Sequence[bytes] = (), longest: int = 65_536) -> bytes:
    """One to eight cuts, flips, insertions, repetitions and swaps of `data`; now and then bytes without any sense."""
    if random.random() < 1 / 16:
        return random.randbytes(random.randrange(700))
    made = bytearray(data)
    for _ in range(1 + int(random.random() ** 2 * 8)):
        size = len(made)
        at = random.randrange(size + 1)
        kind = random.randrange(11)
        if kind <= 2 and size:  # a bit error
            made[at - 1] ^= 1 << random.randrange(8)
        elif kind == 3 and size:
            made[at - 1] = random.randrange(256)
        elif kind == 4:
            del made[at : at + 1 + int(random.random() ** 4 * 200)]
        elif kind == 5:
            made[at:at] = random.randbytes(1 + int(random.random() ** 4 * 300))
        elif kind == 6:
            made[at:at] = random.choice(tokens) if tokens and random.random() < 0.6 else random.choice(NASTY)
        elif kind == 7:  # something overwritten
            token = random.choice(NASTY)
            made[at : at + len(token)] = token
        elif kind == 8:  # something twice
            made[at:at] = made[at : at + 1 + int(random.random() ** 3 * 300)]
        elif kind == 9:  # something elsewhere
            piece = made[at : at + 1 + int(random.random() ** 3 * 100)]
            del made[at : at + len(piece)]
            where = random.randrange(len(made) + 1)
            made[where:where] = piece
        elif random.random() < 0.3:  # the end is missing
            del made[at:]
    return bytes(made[:longest])


def mutated_json(random: Random, data: bytes) -> bytes:
    """A document with other values, without or with twice the keys, nested deeper; or with damaged bytes."""
    if random.random() < 0.35:
        return mutated(random, data)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):  # mutated before
        return mutated(random, data)
    if not isinstance(document, (dict, list)):
        return mutated(random, data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return b"{}"
        holder, key = random.choice(places)
        kind = random.randrange(7)
        if kind <= 3:
            holder[key] = copy.deepcopy(random.choice(_JSON))
        elif kind == 4:
            del holder[key]
        elif kind == 5:
            other, at = random.choice(places)
            holder[key] = copy.deepcopy(other[at])
        elif isinstance(holder, dict):
            holder[random.choice(("", "x", "schema", key + "x"))] = copy.deepcopy(random.choice(_JSON))
        else:
            holder += copy.deepcopy(holder)
    return json.dumps(document).encode()


def _places(document: Any) -> Any:
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def mutated_archive(random: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """A ZIP archive with a damaged file in it, whole again around it; or a damaged archive."""
    if random.random() < 0.4:
        return mutated(random, data, tokens, 1 << 18)
    members: list[list[Any]] = []
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:  # mutated before
        members = [[name, archive.read(name)] for name in archive.namelist()]
    if not members:
        return mutated(random, data, tokens, 1 << 18)
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(members))
        kind = random.randrange(10)
        if kind == 0 and len(members) > 1:
            del members[at]
        elif kind == 1:
            members[at][0] = random.choice(("", "x", "../x", members[at][0] + "x", "in/a/b", "out/cpu/a/b", "a.npy"))
        else:
            members[at][1] = mutated(random, members[at][1], tokens, 1 << 18)
    buffer = io.BytesIO()
    how = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "w", how) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may come twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return buffer.getvalue()
