"""Whether two ways of scoring the same clips give the same numbers to the last digit."""

from __future__ import annotations

from emer_edge.bench.accuracy.clip_scores import FoldScores


def same_scores(one: FoldScores, other: FoldScores) -> bool:
    assert [each.name for each in one.windows.clips] == [each.name for each in other.windows.clips]
    assert one.windows.skipped == other.windows.skipped
    assert one.outputs.keys() == other.outputs.keys()
    names = ("face", "eye", "gaze", "face_slots", "eye_slots")
    arrays = [
        *((getattr(one.windows, name), getattr(other.windows, name)) for name in names),
        *((one.owners[each], other.owners[each]) for each in one.owners),
        *((rows, other.outputs[each][head]) for each in one.outputs for head, rows in one.outputs[each].items()),
    ]
    return all(first.tobytes() == second.tobytes() for first, second in arrays)
