"""Faults of set-ups, put into synthetic streams: each is named within ten seconds, and normal streams say nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, StimulusRect, TrackerSample
from emer_edge.data.synth.eyes import SyntheticEyes, generate, samples
from emer_edge.export.matching import eye_quantiles
from emer_edge.runtime.evidence import UNWATCHED, ColumnWatch
from emer_edge.runtime.pipeline import PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.session import Session
from emer_edge.signals.rows import raw_rows

DISPLAY = Display()
WHOLE = StimulusRect.whole(DISPLAY)
Change = Callable[[TrackerSample], TrackerSample]


@pytest.fixture(scope="module")
def quantiles() -> dict[str, tuple[float, ...]]:
    """Of sixty clips, as export measures them."""
    clips = [generate(EMOTIONS[each % 7], each, 1 + each % 5, seed=11) for each in range(60)]
    return eye_quantiles(np.concatenate([each.rows for each in clips]))


def eyes_of(participant: int, seed: int = 100, seconds: float = 12.0) -> SyntheticEyes:
    return generate(EMOTIONS[(participant + seed) % 7], participant, 1 + participant % 6, seconds, seed)


def watch(
    quantiles: dict[str, tuple[float, ...]], eyes: SyntheticEyes, change: Change, display: Display = DISPLAY
) -> tuple[ColumnWatch, dict[str, tuple[float, str]]]:
    """The watch at the end, and every fault with the second in which it was first named and its sentence."""
    found: dict[str, tuple[float, str]] = {}
    watching = ColumnWatch(quantiles, display)
    for sample in map(change, samples(eyes)):
        if sample.left.valid or sample.right.valid:
            watching.add(raw_rows([sample], display, StimulusRect.whole(display))[0], sample.stamp_ns)
            for fault in watching.faults:
                found.setdefault(fault.key, (sample.stamp_ns * 1e-9, fault.text))
    return watching, found


def each_eye(change: Callable[[EyeReading], EyeReading]) -> Change:
    return lambda sample: replace(sample, left=change(sample.left), right=change(sample.right))


def derived(eye: EyeReading) -> EyeReading:
    """What a tracker sends that leaves the rest to be derived."""
    return replace(eye, gaze_mm=MISSING_2, direction=MISSING_3)


def position(change: Callable[[float, float, float], tuple[float, float, float]]) -> Change:
    return each_eye(lambda eye: replace(derived(eye), position_mm=change(*eye.position_mm)))


def gaze(change: Callable[[float, float], tuple[float, float]]) -> Change:
    return each_eye(lambda eye: replace(derived(eye), gaze_px=change(*eye.gaze_px)))


def gaze_against_direction(change: Callable[[float, float], tuple[float, float]]) -> Change:
    return each_eye(lambda eye: replace(eye, gaze_px=change(*eye.gaze_px), gaze_mm=MISSING_2))


def pupil(change: Callable[[float], float]) -> Change:
    return each_eye(lambda eye: replace(eye, pupil_mm=change(eye.pupil_mm)))


def swapped_eyes(sample: TrackerSample) -> TrackerSample:
    return replace(sample, left=sample.right, right=sample.left)


FAULTS: dict[str, tuple[Change, str, str]] = {
    "metres": (position(lambda x, y, z: (x / 1e3, y / 1e3, z / 1e3)), "position unit", "metres?"),
    "centimetres": (position(lambda x, y, z: (x / 10, y / 10, z / 10)), "position unit", "centimetres?"),
    "axes": (position(lambda x, y, z: (y, x, z)), "position axes", "X and Y swapped?"),
    "depth": (position(lambda x, y, z: (x, z, y)), "position axes", "Y and Z swapped?"),
    "mirror": (position(lambda x, y, z: (527 - x, y, z)), "position sides", "left and right swapped, or X mirrored?"),
    "eyes": (swapped_eyes, "position sides", "left and right swapped, or X mirrored?"),
    "origin": (position(lambda x, y, z: (x - 263, 180 - y, z)), "position range", "another origin"),
    "still-z": (position(lambda x, y, z: (x, y, 600.0)), "position constant", "600 in every row"),
    "pupil-metres": (pupil(lambda mm: mm / 1e3), "pupil unit", "metres?"),
    "pupil-px": (pupil(lambda mm: mm * 12), "pupil unit", "pixels"),
    "no-pupil": (pupil(lambda mm: math.nan), "pupil missing", "Pupil diameter left: no value in any row, trained on"),
    "still-pupil": (pupil(lambda mm: 3.5), "pupil constant", "3.5 in every row"),
    "fraction": (gaze(lambda x, y: (x / 1920, y / 1080)), "gaze unit", "fractions of the display?"),
    "gaze-axes": (gaze_against_direction(lambda x, y: (y * 16 / 9, x * 9 / 16)), "gaze axes", "X and Y swapped?"),
    "gaze-mirror": (gaze_against_direction(lambda x, y: (1920 - x, y)), "gaze mirror", "X mirrored?"),
    "display": (gaze_against_direction(lambda x, y: (x * 4 / 3, y * 4 / 3)), "gaze display", "another display size?"),
    "density": (each_eye(lambda e: replace(e, gaze_px=(e.gaze_px[0] * 4 / 3, e.gaze_px[1] * 4 / 3))), "gaze display",
                "the display given has 3.64"),
    "4k": (gaze(lambda x, y: (2 * x, 2 * y)), "gaze display", "a larger display?"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_within_ten_seconds(name: str, quantiles: dict[str, tuple[float, ...]]) -> None:
    change, key, text = FAULTS[name]
    for participant in range(3):
        _, found = watch(quantiles, eyes_of(participant), change)
        assert set(found) == {key}
        assert found[key][0] < 10.0
        assert text in found[key][1]


def test_metres_are_named_in_one_sentence(quantiles: dict[str, tuple[float, ...]]) -> None:
    _, found = watch(quantiles, eyes_of(0), FAULTS["metres"][0])
    low, high = (round(quantiles["Eye position left Z [DACS mm]"][each]) for each in (0, 6))
    assert found["position unit"][1] == f"Eye position left Z: 0.709, trained on {low}..{high}: metres?"


def test_swapped_pixels_are_named_where_they_leave_the_display(quantiles: dict[str, tuple[float, ...]]) -> None:
    named = [watch(quantiles, eyes_of(each), gaze(lambda x, y: (y, x)))[1] for each in range(8)]
    assert all(set(each) <= {"gaze axes"} for each in named)
    assert sum("gaze axes" in each for each in named) >= 6


def test_a_lost_eye_is_one_sentence(quantiles: dict[str, tuple[float, ...]]) -> None:
    _, found = watch(quantiles, eyes_of(1), lambda sample: replace(sample, left=EyeReading()))
    ((key, (_, text)),) = found.items()
    assert key.endswith("missing")
    assert text.startswith("The left eye: not found in any row")


def test_only_columns_that_a_tracker_sends_are_counted_as_missing(quantiles: dict[str, tuple[float, ...]]) -> None:
    gaze_alone = each_eye(lambda eye: replace(derived(eye), position_mm=MISSING_3, pupil_mm=math.nan))
    _, found = watch(quantiles, eyes_of(1), gaze_alone)
    ((key, (_, text)),) = found.items()
    assert key == "position+direction+pupil missing"
    assert text.endswith("(and 13 more columns)")


def test_a_frozen_stream_is_one_sentence(quantiles: dict[str, tuple[float, ...]]) -> None:
    eyes = eyes_of(2)
    still = next(each for each in samples(eyes) if each.left.valid and each.right.valid)
    _, found = watch(quantiles, eyes, lambda sample: replace(still, stamp_ns=sample.stamp_ns))
    ((key, (_, text)),) = found.items()
    assert key == "gaze+position+direction+pupil+display+stimulus constant"
    assert "more columns" in text


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [lambda sample: sample, each_eye(derived)], ids=["whole", "derived"])
def test_normal_streams_say_nothing(change: Change, seed: int, quantiles: dict[str, tuple[float, ...]]) -> None:
    for participant in range(200, 212):
        _, found = watch(quantiles, eyes_of(participant, seed), change)
        assert found == {}


def test_what_viewers_do_says_nothing(quantiles: dict[str, tuple[float, ...]]) -> None:
    moved = position(lambda x, y, z: (x + 90, y - 60, z - 130))  # leans to the side and forward
    corner = gaze(lambda x, y: (x * 0.3, y * 0.3))  # looks at the top left quarter
    for change in (moved, corner):
        for participant in range(4):
            assert watch(quantiles, eyes_of(participant), change)[1] == {}


def test_a_mended_fault_is_gone(quantiles: dict[str, tuple[float, ...]]) -> None:
    wrong = FAULTS["metres"][0]
    eyes = eyes_of(0, seconds=30.0)
    mended_ns = 12_000_000_000
    watching, found = watch(quantiles, eyes, lambda each: wrong(each) if each.stamp_ns < mended_ns else each)
    assert set(found) == {"position unit"}
    assert watching.faults == ()


def test_a_fault_that_begins_late_is_named_within_ten_seconds(quantiles: dict[str, tuple[float, ...]]) -> None:
    wrong = FAULTS["centimetres"][0]
    began_ns = 10_000_000_000
    _, found = watch(
        quantiles, eyes_of(0, seconds=24.0), lambda each: wrong(each) if each.stamp_ns > began_ns else each
    )
    assert set(found) == {"position unit"}
    assert 10.0 < found["position unit"][0] < 20.0


def test_without_quantiles_it_says_so_once_and_nothing_else() -> None:
    watching, found = watch({}, eyes_of(0, seconds=8.0), FAULTS["metres"][0])
    assert found == {}
    assert watching.notes(None) == (UNWATCHED,)


def test_another_display_is_a_note(quantiles: dict[str, tuple[float, ...]]) -> None:
    (note,) = ColumnWatch(quantiles, Display(2560, 1440, 597.0, 336.0)).notes(DISPLAY)
    assert "2560x1440 px, 597x336 mm" in note
    assert ColumnWatch(quantiles, DISPLAY).notes(DISPLAY) == ()


@pytest.mark.parametrize("rate_hz", [30, 1200])
def test_the_rate_does_not_matter(rate_hz: int, quantiles: dict[str, tuple[float, ...]]) -> None:
    eyes = eyes_of(3)
    watching = ColumnWatch(quantiles, DISPLAY)
    rows = raw_rows([FAULTS["metres"][0](each) for each in samples(eyes) if each.left.valid], DISPLAY, WHOLE)
    for at in range(9 * rate_hz):
        watching.add(rows[at * 120 // rate_hz % len(rows)], at * 1_000_000_000 // rate_hz)
    assert [each.key for each in watching.faults] == ["position unit"]


def test_a_run_says_it_once_and_notes_it_while_it_lasts(
    session: Session, quantiles: dict[str, tuple[float, ...]]
) -> None:
    said: list[str] = []
    core = PipelineCore(session, 120.0, say=said.append)
    core.evidence.columns = ColumnWatch(quantiles, DISPLAY)
    core.evidence.start(0)
    wrong, hop_ns = FAULTS["metres"][0], core.evidence.spec.hop_ns
    noted: list[bool] = []
    for sample in samples(eyes_of(0, seconds=30.0)):
        core.on_samples([wrong(sample) if sample.stamp_ns < 12e9 else sample])
        if sample.stamp_ns >= (len(noted) + 1) * hop_ns:
            notes = Stepper(session).step([core], (len(noted) + 1) * hop_ns)[0].notes
            noted.append(any("metres?" in each for each in notes))
    assert [each for each in said if "metres?" in each] == said
    assert len(said) == 1
    named, gone = noted.index(True) * hop_ns, len(noted) - noted[::-1].index(True)
    assert named < 10e9
    assert all(noted[noted.index(True) : gone])
    assert 12e9 < gone * hop_ns < 25e9
