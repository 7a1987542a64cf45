"""What of bench's reports may leave a laboratory: figures, counts and versions, by name; nothing that names anybody.

A report holds more: participants as the data set calls them, clips that were left out, films, folders, notes. Here is
taken what is listed (`CONTENTS`), never what is not, and then every text of the result is looked through for the data
set's own names: one that is found stops it.
"""

from __future__ import annotations

import getpass
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.bench.records.report_records import BenchReport
from emer_edge.core.errors import DataError

CONTENTS: Final[Mapping[str, str]] = {
    "about": "what this file is, the version of emer-edge, how the networks were trained",
    "machine": "processor, cores, memory, versions of packages; no host or user name",
    "data": "numbers of clips, participants, folds and films, and how often each label occurs",
    "bundles": "of each network: precision, fold, counts, times, and per head metrics with intervals and the confusion",
    "sets": "the same over all five folds, with the spread over folds",
    "pairs": "INT8 against FP32 on the same clips",
    "curves": "what noise, lost samples, darkness and covered faces cost, per head",
}
_MACHINE: Final = ("machine", "cpu", "cores", "memory_mb", "l4t", "jetpack", "power_mode", "versions")
_DATA: Final = ("clips", "participants", "skipped", "folds", "regrouped", "stimuli", "labels", "synthetic")
_BUNDLE: Final = ("size_bytes", "precision", "engine", "threads", "latency")
_ORIGIN: Final = (
    "window_s",
    "hop_s",
    "events",
    "requested",
    "calibration",
    "gate",
    "training_clips",
    "selection_clips",
)
_ACCURACY: Final = ("fold", "clips", "participants", "uncovered", "unlike", "gap", "event_columns")
_HEAD: Final = ("clips", "metrics", "published_batch", "readings", "baselines", "classes", "confusion", "reliability")
_QUARTILES: Final = ("metric", "min", "q1", "median", "q3", "max")
_EFFECTS: Final = ("name", "axis", "unit", "touches", "takes", "clips", "levels", "heads")


def document(about: Mapping[str, str], protocols: BenchReport, robustness: BenchReport) -> dict[str, Any]:
    """The file's content.

    Args:
        about: what is said of it.
        protocols: bench of all bundles.
        robustness: bench of one set, with degraded input.
    """
    whole = msgspec.to_builtins(protocols)
    return {
        "about": dict(about),
        "machine": _only(whole["environment"], _MACHINE),
        "data": _only(whole["data"], _DATA),
        "bundles": [
            {
                **_only(each, _BUNDLE),
                "origin": _only(each["origin"], _ORIGIN),
                "accuracy": _only(each["accuracy"], _ACCURACY) | {"heads": _heads(each["accuracy"]["heads"])},
                "ablations": _effects(each, "ablations"),
            }
            for each in whole["bundles"]
        ],
        "sets": [
            _only(each, ("name", "folds", "clips", "participants", "spread", "gap")) | {"heads": _heads(each["pooled"])}
            for each in whole["sets"]
        ],
        "pairs": whole["pairs"],
        "curves": [_effects(each, "curves") for each in msgspec.to_builtins(robustness)["bundles"]],
    }


def refuse_names(made: Mapping[str, Any], root: Path, participants: Iterable[str], clips: Iterable[str]) -> int:
    """Look for the data set's names, its folder, and this user's and machine's name; return how many were looked for.

    Raises:
        DataError: a text of the document is or holds one of them.
    """
    known = set(map(str.lower, clips)) | {str(root.resolve()).lower(), str(Path.home()).lower()}
    known |= {name.lower() for name in (socket.gethostname(), getpass.getuser())}
    alone = {name.lower() for name in participants}  # mostly numbers: of a text the whole, of others any word
    holds = re.compile(
        "|".join(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])" for name in sorted(known) if len(name) > 2)
    )
    for text in _texts(made):
        if text.lower() in alone | known or holds.search(text.lower()):
            raise DataError(
                f"the file to send back would hold {text!r}, which names something of yours; it is not written"
            )
    return len(known | alone)


def _texts(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            yield from (str(key), *_texts(value))
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _texts(each)


def _only(given: Mapping[str, Any] | None, kept: Iterable[str]) -> dict[str, Any]:
    return {name: given[name] for name in kept if name in given} if given else {}


def _heads(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _only(head, _HEAD) | {"over_participants": _only(head.get("participants"), _QUARTILES)}
        for name, head in given.items()
    }


def _effects(bundle: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [_only(each, _EFFECTS) for each in (bundle.get("probes") or {}).get(name, ())]


def write(path: Path, made: Mapping[str, Any]) -> None:
    """Write it as JSON, for its owner alone."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=1) + "\n")
