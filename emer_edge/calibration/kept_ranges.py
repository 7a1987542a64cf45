"""The calibration cache: histograms, their checkpoints and ranges, kept between runs.

An entry can't be stale: its name is a hash over everything that it depends on: the part's weights and graph, the
data set's fingerprint, the bytes of every crop, the window they were cut with, the versions of this tool and of the
engine, and for ranges the method. Entries are in the user's cache, mode 0600, hold counts and no images, and
`emer-edge purge` removes them.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from emer_edge import __version__
from emer_edge.calibration.methods import BINS, GRIDS, METHODS_VERSION, Grid, Range, RunningHistogram
from emer_edge.core.whole_file import write_private
from emer_edge.data.cache import cache_folder

MOST_FILES: Final = 40
"""Files kept at most, the newest; a file of histograms takes about half a megabyte."""

HISTOGRAMS_VERSION: Final = 1
_DAMAGED: Final = (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)

Ranges = dict[Grid, dict[str, Range]]
_Parsed = TypeVar("_Parsed")


@dataclass
class Tally:
    """Histograms being filled, by tensor, and the number of batches counted in them."""

    histograms: dict[str, RunningHistogram] = field(default_factory=dict)
    batches: int = 0


def measurement_key(model: onnx.ModelProto, tensors: Sequence[str], fingerprint: str, crops: str) -> str:
    """Hash everything that a measurement depends on: 40 hexadecimal digits.

    Args:
        model: the FP32 part, weights included.
        tensors: the tensors that are counted.
        fingerprint: of the data set.
        crops: digest of the crops and of how they were chosen.
    """
    causes = (
        f"histograms {HISTOGRAMS_VERSION}, {BINS} bins",
        f"emer-edge {__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}",
        hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest(),
        *tensors,
        fingerprint,
        crops,
    )
    return hashlib.sha256("\x00".join(causes).encode()).hexdigest()[:40]


class CalibrationCache:
    """The entries of one measurement.

    Args:
        key: of `measurement_key`.
        tensors: the tensors that are counted.

    Attributes:
        folder: where the entries are.
        damaged: names of entries that were there but could not be used; they are made again.
    """

    def __init__(self, key: str, tensors: Sequence[str]) -> None:
        self.folder = cache_folder() / "calibration"
        self.damaged: list[str] = []
        self._key = key
        self._finished, self._partial = (self.folder / f"{key}.{kind}.npz" for kind in ("histograms", "partial"))
        self._tensors = list(tensors)

    def tally(self) -> Tally | None:
        """The histograms under this key, finished or not; None without any."""
        return self._read(self._finished, self._tally_of) or self._read(self._partial, self._tally_of)

    def keep(self, tally: Tally, *, finished: bool) -> None:
        """Keep histograms; a finished tally replaces its checkpoint."""
        states = [tally.histograms[name].state for name in self._tensors]
        self._write(
            self._finished if finished else self._partial,
            {
                "counts": np.stack([counts for counts, _ in states]),
                "scalars": np.array([scalars[:3] for _, scalars in states], np.float64),
                "totals": np.array([scalars[3] for _, scalars in states], np.int64),
                "batches": np.array(tally.batches, np.int64),
            },
        )
        if finished:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)

    def ranges(self, method: str) -> Ranges | None:
        """The ranges that a method gave; None when there are none."""
        return self._read(self._ranges(method), self._ranges_of)

    def keep_ranges(self, method: str, ranges: Mapping[Grid, Mapping[str, Range]]) -> None:
        """Keep the ranges that a method gave."""
        arrays: dict[str, NDArray[Any]] = {
            grid: np.array([ranges[grid][name] for name in self._tensors], np.float64) for grid in GRIDS
        }
        self._write(self._ranges(method), arrays)

    def _ranges(self, method: str) -> Path:
        causes = f"{self._key} {method} {METHODS_VERSION}"
        return self.folder / f"{hashlib.sha256(causes.encode()).hexdigest()[:40]}.ranges.npz"

    def _ranges_of(self, content: Mapping[str, NDArray[Any]]) -> Ranges:
        ranges: Ranges = {}
        for grid in GRIDS:
            pairs = content[grid]
            if pairs.shape != (len(self._tensors), 2) or not np.isfinite(pairs).all():
                raise ValueError(grid)
            ranges[grid] = {name: (float(a), float(b)) for name, (a, b) in zip(self._tensors, pairs, strict=True)}
        return ranges

    def _tally_of(self, content: Mapping[str, NDArray[Any]]) -> Tally:
        histograms = {
            name: RunningHistogram.restored(counts, (float(reach), float(low), float(high), int(total)))
            for name, counts, (reach, low, high), total in zip(
                self._tensors, content["counts"], content["scalars"], content["totals"], strict=True
            )
        }
        return Tally(histograms, int(content["batches"]))

    def _read(self, path: Path, parse: Callable[[Mapping[str, NDArray[Any]]], _Parsed]) -> _Parsed | None:
        if not path.is_file():
            return None
        try:
            # opened here: np.load leaves its own file open when the content is no archive
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            if content["names"].tolist() != self._tensors:
                raise ValueError("other tensors")
            return parse(content)
        except _DAMAGED:
            self.damaged.append(path.name)
            return None

    def _write(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        content = io.BytesIO()
        contents: dict[str, Any] = {"names": np.array(self._tensors), **arrays}
        np.savez_compressed(content, **contents)
        with suppress(OSError):  # a cache that can't be written only costs time
            write_private(path, content.getvalue())
            kept = sorted(self.folder.glob("*.npz"), key=lambda file: file.stat().st_mtime_ns)
            for old in kept[:-MOST_FILES]:
                old.unlink(missing_ok=True)
