"""Live eye columns: agreement of the causal I-VT with an offline filter, and faults named or made up.

Peer: `tobii-ivt-filter` (PyPI), an independent I-VT that sees the whole recording. Live stamps go through the clock
mapping with 20 ms of mean exponential jitter, samples in order, as on a serial line.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from ivt_filter.config import FixationPostConfig, IVTClassifierConfig, OlsenVelocityConfig, PipelineConfig
from ivt_filter.io.pipeline import IVTPipeline

from benchmarks.common import Floor, conclude, parser, show
from emer_edge.core.columns import MOVEMENT_CODES
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.data.synth.eyes import EyeTraits, SyntheticEyes, generate, record, samples
from emer_edge.data.synth.gaze import Feeling
from emer_edge.export.matching import eye_quantiles
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.clock import ClockMapper
from emer_edge.runtime.evidence import ColumnWatch
from emer_edge.signals.events import movement_types
from emer_edge.signals.rows import raw_rows

SPEC = WindowSpec()
SECONDS = 36
NOISES_PX = (1.5, 3.0, 5.0, 8.0, 12.0)
JITTER_MS = 20.0


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Agreement of live eye movements with an offline filter; false alarms of the column watch.")
    made.add_argument("--people", type=int, default=6, help="recordings for each noise")
    made.add_argument("--clips", type=int, default=600, help="normal clips that the watch must be silent over")
    arguments = made.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Setting a value on a DataFrame")
    rows: list[tuple[Cell, ...]] = []
    lowest = 1.0
    for noise_px in NOISES_PX:
        runs = [agreement(noise_px, person) for person in range(arguments.people)]
        every, slots, newest = (np.concatenate([row[at] for row in runs]) for at in range(3))
        lowest = min(lowest, float(every.mean()))
        rows.append((noise_px, every.mean(), every.min(), slots.mean(), newest.mean(), len(every)))
    columns = (
        Column("noise an eye", "px", 1), Column("all rows", "%", 2, 100), Column("worst window", "%", 2, 100),
        Column("slots", "%", 2, 100), Column("newest row", "%", 1, 100), Column("windows"),
    )  # fmt: skip
    show("Movement types, live windows against the offline filter", columns, rows, f"{JITTER_MS:g} ms of jitter.")
    alarms = false_alarms(arguments.clips)
    show("Column watch over normal clips", (Column("clips"), Column("false alarms")), [(arguments.clips, alarms)])
    floors = [
        Floor("movement types that agree, lowest of all noises", lowest * 100, 95.0, unit=" %"),
        Floor("false alarms of the column watch", alarms, 1, at_least=False),
    ]
    names = ("noise_px", "all_rows", "worst_window", "slots", "newest_row", "windows")
    figures = {
        "jitter_ms": JITTER_MS,
        "agreement": [dict(zip(names, map(float, row), strict=True)) for row in rows],  # type: ignore[arg-type]
        "watch": {"clips": arguments.clips, "false_alarms": alarms},
    }
    return conclude("eye_columns", floors, figures)


def agreement(noise_px: float, person: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per window: share of all rows, of the 32 slots' rows, and whether the newest row agree."""
    traits = replace(EyeTraits.draw(np.random.default_rng([person, 2])), noise_px=noise_px)
    eyes = record([Feeling(0.0, "fear")], traits, person + 1, SECONDS * 120, np.random.default_rng(person))
    expected = offline(eyes)
    delay = np.random.default_rng([person, 9]).exponential(JITTER_MS * 1e6, len(expected)).astype(np.int64)
    mapper, arrivals = ClockMapper(), np.maximum.accumulate(eyes.times_ns + delay)
    times_ns = np.array([mapper.map(int(d), int(a)) for d, a in zip(eyes.times_ns, arrivals, strict=True)])
    shares = []
    for end_ns in range(SPEC.length_ns + 2 * NANOSECONDS, SECONDS * NANOSECONDS, SPEC.hop_ns):
        part = slice(*np.searchsorted(times_ns, (end_ns - SPEC.length_ns, end_ns), side="right").tolist())
        right = movement_types(eyes.rows[part], times_ns[part], eyes.seen[part], "causal") == expected[part]
        edges = end_ns - SPEC.eye_slot_ns * np.arange(31, -1, -1)
        slots = np.searchsorted(times_ns[part], edges, side="right") - 1
        shares.append((right.mean(), right[slots].mean(), float(right[-1])))
    every, slots_share, newest = np.array(shares).T
    return every, slots_share, newest


def offline(eyes: SyntheticEyes) -> np.ndarray:
    """(n,) movement types of the whole recording by the peer, with Tobii's defaults."""
    cells = eyes.cells
    table = {"time_ms": eyes.times_ns / 1e6}
    for at, eye in enumerate(("left", "right")):
        table[f"validity_{eye}"] = np.where(cells[:, 14 + at] > 0, 0, 999)
        for axis, name in enumerate("xyz"):
            table[f"gaze_dir_{eye}_{name}"] = cells[:, 6 + 3 * at + axis]
            table[f"eye_{eye}_{name}_mm"] = cells[:, 16 + 3 * at + axis]
        for axis, name in enumerate("xy"):
            table[f"gaze_{eye}_{name}_mm"] = cells[:, 22 + 2 * at + axis]
    config = PipelineConfig(
        velocity=OlsenVelocityConfig(20.0, velocity_method="tobii_gaze_dir", gap_fill_enabled=True),
        classifier=IVTClassifierConfig(),
        fixation_post=FixationPostConfig(merge_adjacent_fixations=True, discard_short_fixations=True),
    )
    types = IVTPipeline(config).process_dataframe(pd.DataFrame(table))["ivt_event_type_post"]
    return np.asarray(types.map(MOVEMENT_CODES).to_numpy().astype(int))


def false_alarms(count: int) -> int:
    """Normal clips of 12 s over which the watch names anything."""
    display = Display()
    trained = [generate(EMOTIONS[number % 7], number, 1 + number % 10, seed=11) for number in range(60)]
    quantiles = eye_quantiles(np.concatenate([clip.rows for clip in trained]))
    wrong = 0
    for clip in range(count):
        watch, named = ColumnWatch(quantiles, display), False
        for sample in samples(generate(EMOTIONS[clip % 7], 1000 + clip // 10, 1 + clip % 10, seed=clip % 5)):
            if sample.left.valid or sample.right.valid:
                watch.add(raw_rows([sample], display, StimulusRect.whole(display))[0], sample.stamp_ns)
                named = named or bool(watch.faults)
        wrong += named
    return wrong


if __name__ == "__main__":
    sys.exit(main())
