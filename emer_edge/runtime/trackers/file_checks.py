"""What a tracker's file must be before it is played: times in order that make a rate, and eyes that are valid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.core.window import NANOSECONDS, UNITS_NS
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers.codec import Counters, ValidityCodes
from emer_edge.signals.time_units import PLAUSIBLE_RATES_HZ, nominal_rate_hz, rising, tell_unit, too_slow

_FAR_NS: Final = NANOSECONDS  # rows this far from their neighbours are strays or another recording
_STRAYS: Final = 0.01  # of the rows; more are another recording


def rows_in_order(path: Path, times_ns: NDArray[np.int64], counters: Counters, say: Say) -> NDArray[np.bool_]:
    """Choose the rows whose times rise; count and name the others.

    Args:
        path: the file, for messages.
        times_ns: (n,) times in the file's order.
        counters: `out_of_order` goes up by one for each row that is left out.
        say: takes the sentence.

    Raises:
        TrackerError: so many lie elsewhere in time that the file holds several recordings.
    """
    chosen = rising(times_ns)
    kept, out = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    if not len(out):
        return chosen
    before, after = (kept[np.clip(np.searchsorted(kept, out) - back, 0, len(kept) - 1)] for back in (1, 0))
    far = np.minimum(abs(times_ns[before] - times_ns[out]), abs(times_ns[after] - times_ns[out])) > _FAR_NS
    if far.sum() > max(10, _STRAYS * len(times_ns)):
        raise TrackerError(
            f"{path}, sample {out[far][0] + 1} and {far.sum() - 1} others: time runs backwards or starts again; does "
            "the file hold several recordings? Export each into a file of its own"
        )
    counters.out_of_order += len(out)
    say(f"{path}: {len(out)} of {len(times_ns)} rows repeat a time or are out of order, and are left out")
    return chosen


def check_rate(path: Path, times_ns: Sequence[int], name: str = "", unit: str = "") -> float:
    """Return the rate of rising times.

    Args:
        path: the file, for messages.
        times_ns: the times.
        name: what the file calls them; empty where their unit is sure.
        unit: the unit that the name says, a key of `UNITS_NS`.

    Raises:
        TrackerError: no eye tracker has that rate; the message names the unit in which one may.
    """
    rate_hz = nominal_rate_hz(times_ns)
    wrong = too_slow(rate_hz) if len(times_ns) > 1 else ""
    if rate_hz > PLAUSIBLE_RATES_HZ[1]:
        wrong = f"{rate_hz:.6g} rows a second, too many for an eye tracker ({PLAUSIBLE_RATES_HZ[1]:g} at most)"
    if not wrong:
        return rate_hz
    told = tell_unit(np.array(times_ns, np.float64) / UNITS_NS[unit], named=unit).name if name else ""
    right = f"; the times look like {told}: is `{name}` right?" if told and told != unit else ""
    raise TrackerError(f"{path} holds {wrong}{right}")


def check_validity(path: Path, validity: ValidityCodes, samples: Sequence[TrackerSample], say: Say) -> None:
    """Name what is odd about a file's codes of validity; raise TrackerError where they leave no eye valid at all."""
    if not validity.problem:
        return
    if not any(sample.left.valid or sample.right.valid for sample in samples):
        raise TrackerError(f"{path} has no valid eye in {len(samples)} rows: {validity.problem}")
    say(f"{path}: {validity.problem}")
