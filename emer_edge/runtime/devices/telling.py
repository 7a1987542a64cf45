"""Devices as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby

from emer_edge.runtime.devices.found import Devices

__all__ = ["told", "told_json"]


def told_json(devices: Devices) -> str:
    """One JSON object: `devices`, each with kind, name, argument, details and problem, and `hints`."""
    return json.dumps(devices.to_dict(), indent=2)


def told(devices: Devices) -> Iterator[str]:
    """Lines for people."""
    for kind, each_kind in groupby(devices.found, key=lambda each: each.kind):
        yield f"{kind}s"
        for each in each_kind:
            yield f"  {each.name}"
            yield f"    {each.argument}"
            yield from (f"    {line}" for line in each.details)
            if each.problem is not None:
                yield f"    PROBLEM: {each.problem}"
    yield from devices.hints
