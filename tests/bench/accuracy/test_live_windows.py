from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from emer_edge.bench.accuracy.encoded import ReadingPlan, encode_clip
from emer_edge.bundle import Bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import PreparedClip
from emer_edge.runtime.evidence import Evidence
from emer_edge.runtime.faces import FaceCandidate, Look
from emer_edge.runtime.session import Session
from emer_edge.signals.slots import clip_times_ns
from emer_edge.spec.samples import Display, Frame

RATE_HZ = 1000.0
"""Above the rate of the rows, so that nothing counts as a gap and the ring holds them all."""


@pytest.mark.parametrize("pick", ["newest", "middle"])
def test_live_windows_are_those_of_a_run_that_sees_the_clip(bundle: Bundle, dataset: EmerDataset, pick: str) -> None:
    clip = dataset.fold(1)[0]
    spec = replace(bundle.manifest.window, pick=pick, hops_per_slot=2)
    manifest = msgspec.structs.replace(bundle.manifest, window=spec)
    track = clip.eye()
    frame_times = clip_times_ns(len(clip.frame_names), spec.length_ns).tolist()
    row_times = clip_times_ns(len(track.rows), spec.length_ns).tolist()
    expected = []
    with Session(bundle) as session:
        run = Evidence(manifest, session.detector, RATE_HZ, Display())
        run.start(-2 * spec.length_ns)  # under way for long when the clip begins
        frames, rows = iter(enumerate(frame_times)), iter(range(len(row_times)))
        frame, row = next(frames, None), next(rows, None)
        taken: list[int] = []
        for end_ns in range(spec.hop_ns, spec.length_ns + 1, spec.hop_ns):
            while frame is not None and frame[1] <= end_ns:
                index, stamp_ns = frame
                image = clip.frame(index)
                seen = Look(None, FaceCandidate(stamp_ns, image, 0, 0), None, False, 0)
                run.on_look(Frame(index, image, stamp_ns, stamp_ns, "media"), seen)
                frame = next(frames, None)
            while row is not None and row_times[row] <= end_ns:
                run.eyes.append(track.rows[row], row_times[row], bool(track.seen[row]))
                row = next(rows, None)
            cut = run.cut(end_ns)
            if cut.face is not None:
                taken.append(frame_times.index(cut.face.stamp_ns))
            if cut.face_covered.sum() >= spec.min_face_slots and cut.eye.covered.sum() >= spec.min_eye_slots:
                expected.append(([taken[at] for at in cut.face_numbers], cut.eye))
    found = PreparedClip(clip, spec).live()
    assert len(found) == len(expected) > 3
    for window, (chosen, eye) in zip(found, expected, strict=True):
        assert window.frames.tolist() == chosen
        np.testing.assert_array_equal(window.eye, eye.eye)
        np.testing.assert_array_equal(window.gaze, eye.gaze)
        assert window.covered_eye.sum() == eye.covered.sum()


def test_live_windows_of_a_clip_are_few_when_little_is_covered(dataset: EmerDataset, bundle: Bundle) -> None:
    spec = bundle.manifest.window
    prepared = PreparedClip(dataset.fold(1)[0], spec)
    prepared.end_ns = 5 * spec.hop_ns
    assert prepared.live() == []


def test_the_last_live_window_of_a_clip_of_a_windows_length_is_its_own(bundle: Bundle, dataset: EmerDataset) -> None:
    spec = bundle.manifest.window
    with Session(bundle) as session:
        found = encode_clip(session, dataset.fold(1)[0], ReadingPlan(draws=1))
    live, newest = found.windows["live"], found.windows["newest"]
    np.testing.assert_array_equal(live.frames[-1], newest.frames[0])
    np.testing.assert_array_equal(live.eye[-1], newest.eye[0])
    assert 1 < len(live) <= spec.hops
    assert live.face_slots.min() == spec.min_face_slots
    assert live.eye_slots.min() >= spec.min_eye_slots
