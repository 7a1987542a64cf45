"""Eye movements under tracker noise: agreement with clean gaze at several rates, and what a noisy window costs.

Gaze paths of the synthetic generator at the tracker's own rate, seen by two eyes that blink, clean and with noise. The
truth is what the causal rule says of the clean rows. Beside white noise four that are harder: coloured (an AR(1) of 10
ms), in bursts of half a second, on a drift of a degree a minute, with eyes half a degree apart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time_ns

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Floor, conclude, parser, show
from emer_edge.core.columns import DIRECTION, GAZE_MM, GAZE_POINT, GAZE_PX, POSITION, VALIDITY
from emer_edge.core.samples import Display
from emer_edge.core.window import NANOSECONDS, EventsRule
from emer_edge.data.synth.gaze import film_target_px, scan
from emer_edge.data.worse_eyes import moved_gaze
from emer_edge.report.table import Cell, Column
from emer_edge.signals.events import movements

DISPLAY = Display()
SIZE_PX, SIZE_MM = (DISPLAY.width_px, DISPLAY.height_px), (DISPLAY.width_mm, DISPLAY.height_mm)
EYES_MM = np.array([(231.0, 120.0, 650.0), (295.0, 120.0, 650.0)])
PX_PER_DEGREE = float(np.tan(np.deg2rad(1.0)) * EYES_MM[0, 2] / SIZE_MM[0] * SIZE_PX[0])
SECONDS = 12
EYE_HZ = 3000  # of the gaze path, which a tracker sees at its own rate
RATES_HZ = (60, 120, 250, 1000)
FLOORS = {10: 98.5, 20: 94.0}
MOST_TIME = 1.3
Noise = Callable[[int, float, np.random.Generator], NDArray[np.float64]]
"""Rows, their rate, random numbers -> (2, n, 2) px that two eyes are off by."""


@dataclass(frozen=True)
class Window:
    """Clean rows (n, 39) of a window, their times and whether an eye was seen."""

    rows: NDArray[np.float32]
    times_ns: NDArray[np.int64]
    seen: NDArray[np.bool_]

    def kind(self, events: EventsRule, off_px: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """(n,) movement types of its rows, moved by (2, n, 2) px."""
        rows = self.rows if off_px is None else moved_gaze(self.rows, off_px, DISPLAY)
        return movements(rows, self.times_ns, self.seen, events).kind


def clean_window(rate_hz: float, person: int) -> Window:
    """12 s of a person who watches a film, at a tracker's own rate, without noise."""
    rng, count, steps = np.random.default_rng([person, 41]), int(SECONDS * rate_hz), round(EYE_HZ / rate_hz)
    target = film_target_px(person, np.arange(SECONDS * EYE_HZ) / EYE_HZ, SIZE_PX)
    everywhere = np.full(len(target), 130.0), np.full(len(target), 300.0)
    point_px, _ = scan(target, *everywhere, PX_PER_DEGREE, rate_hz=EYE_HZ, rng=rng)
    gaze_px = point_px[steps - 1 :: steps]
    gaze_mm = gaze_px / SIZE_PX * SIZE_MM
    lost = np.zeros((count, 2), bool)
    for start in rng.integers(count, size=4):
        lost[start : start + int(rng.uniform(0.1, 0.3) * rate_hz), rng.integers(3) != np.arange(2)] = True
    rows = np.zeros((count, 39))
    rows[:, GAZE_POINT] = gaze_px
    for eye, (px, mm, direction, position) in enumerate(zip(GAZE_PX, GAZE_MM, DIRECTION, POSITION, strict=True)):
        ray = np.column_stack([gaze_mm, np.zeros(count)]) - EYES_MM[eye]
        rows[:, px], rows[:, mm], rows[:, position] = gaze_px, gaze_mm, EYES_MM[eye]
        rows[:, direction], rows[:, VALIDITY.start + eye] = ray / np.linalg.norm(ray, axis=1, keepdims=True), 1
        for columns in (px, mm, direction, position, VALIDITY.start + eye):
            rows[lost[:, eye], columns] = 0
    rows[lost.all(axis=1)] = 0
    times_ns = ((np.arange(count) + 1) * NANOSECONDS / rate_hz).astype(np.int64)
    return Window(rows.astype(np.float32), times_ns, ~lost.all(axis=1))


def white(sd_px: float) -> Noise:
    """White noise of each eye."""
    return lambda count, rate_hz, rng: sd_px * rng.standard_normal((2, count, 2))


def coloured(sd_px: float) -> Noise:
    """Noise of each eye that forgets itself in 10 ms."""

    def off_px(count: int, rate_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
        kept = float(np.exp(-100.0 / rate_hz))
        noise = rng.standard_normal((count, 2, 2))
        for at in range(1, count):
            noise[at] = kept * noise[at - 1] + np.sqrt(1 - kept**2) * noise[at]
        return np.asarray(sd_px * noise.transpose(1, 0, 2))

    return off_px


def bursts(sd_px: float) -> Noise:
    """White noise in every second half of a second."""

    def off_px(count: int, rate_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
        loud = (np.arange(count) / rate_hz) % 1.0 < 0.5
        return white(sd_px)(count, rate_hz, rng) * loud[:, None]

    return off_px


def drifting(sd_px: float) -> Noise:
    """White noise on a drift of a degree a minute."""
    return lambda count, rate_hz, rng: (
        white(sd_px)(count, rate_hz, rng) + (np.arange(count) / rate_hz / 60 * PX_PER_DEGREE)[:, None]
    )


def apart(sd_px: float) -> Noise:
    """White noise of eyes that are calibrated half a degree apart."""
    return lambda count, rate_hz, rng: (
        white(sd_px)(count, rate_hz, rng) + PX_PER_DEGREE * np.array([-0.25, 0.25])[:, None, None]
    )


def agreement(rate_hz: float, noise: Noise, people: int, events: EventsRule = "causal-2") -> float:
    """Percentage of rows whose type is that of the clean rows."""
    same = []
    for person in range(people):
        window, rng = clean_window(rate_hz, person), np.random.default_rng([person, 43])
        off_px = noise(len(window.rows), rate_hz, rng)
        same.append((window.kind(events, off_px) == window.kind("causal")).mean())
    return 100 * float(np.mean(same))


def time_ratio(rate_hz: float, sd_px: float, turns: int) -> float:
    """CPU time of a noisy window over that of a quiet one: the medians of turns taken in alternation."""
    window, rng = clean_window(rate_hz, 0), np.random.default_rng(47)
    noisy = moved_gaze(window.rows, white(sd_px)(len(window.rows), rate_hz, rng), DISPLAY)
    spent: dict[str, list[int]] = {"quiet": [], "noisy": []}
    for _ in range(turns):
        for name, rows in (("quiet", window.rows), ("noisy", noisy)):
            began = process_time_ns()
            movements(rows, window.times_ns, window.seen, "causal-2")
            spent[name].append(process_time_ns() - began)
    return float(np.median(spent["noisy"]) / np.median(spent["quiet"]))


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Agreement of eye movements under noise with those of clean gaze, and what noise costs.")
    made.add_argument("--people", type=int, default=20, help="windows for each rate and noise")
    made.add_argument("--turns", type=int, default=200, help="timed windows, quiet and noisy")
    arguments = made.parse_args()
    rows: list[tuple[Cell, ...]] = []
    floors: list[Floor] = []
    harder = {"white": white, "coloured": coloured, "bursts": bursts, "drifting": drifting, "eyes apart": apart}
    for rate_hz in (30, *RATES_HZ):
        for sd_px, floor in FLOORS.items():
            before = agreement(rate_hz, white(sd_px), arguments.people, "causal")
            shares = {name: agreement(rate_hz, of(sd_px), arguments.people) for name, of in harder.items()}
            ratio = time_ratio(rate_hz, sd_px, arguments.turns)
            rows.append((rate_hz, sd_px, before, *shares.values(), ratio))
            if rate_hz in RATES_HZ:
                floors.append(Floor(f"{rate_hz} Hz, {sd_px} px: rows that agree", shares["white"], floor, unit=" %"))
                floors.append(Floor(f"{rate_hz} Hz, {sd_px} px: time of a noisy window", ratio, MOST_TIME, False, "x"))
    columns = (
        Column("rate", "Hz"), Column("noise an eye", "px"), Column("unsmoothed, white", "%", 1),
        *(Column(name, "%", 1) for name in harder), Column("noisy / quiet time", "", 2),
    )  # fmt: skip
    show("Rows whose movement type is that of clean gaze", columns, rows)
    names = ("rate_hz", "noise_px", "unsmoothed", *harder, "time_ratio")
    figures = {
        "people": arguments.people,
        "agreement": [dict(zip(names, map(float, row), strict=True)) for row in rows],
    }  # type: ignore[arg-type]
    return conclude("eye_noise", floors, figures)


if __name__ == "__main__":
    sys.exit(main())
