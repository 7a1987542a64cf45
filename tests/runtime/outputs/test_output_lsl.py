from __future__ import annotations

import math
import time
import uuid
from dataclasses import replace

import pytest

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.results import Gap, Result, State
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.lsl_results import LslResults
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.recording.messages import result_channels, result_row

pylsl = pytest.importorskip("pylsl", reason="needs pylsl and its liblsl")

HEADS_OF = {name: each.classes if isinstance(each, ClassHead) else () for name, each in HEADS.items()}


def ok(end_ns: int) -> Result:
    heads = {
        name: {each: 0.5 if at == 0 else 0.5 / (len(classes) - 1) for at, each in enumerate(classes)}
        if classes
        else 0.25
        for name, classes in HEADS_OF.items()
    }
    return Result(end_ns, State.OK, heads=heads, gap=Gap(0.4, (36, 40), 0.75, -0.5))


def test_an_inlet_gets_labelled_results(bundle: Bundle) -> None:
    name = f"emotions {uuid.uuid4().hex[:8]}"
    output = LslResults(name, Host(Pipeline(bundle)))
    output.begin()
    (found,) = pylsl.resolve_byprop("name", name, 1, 10.0)
    inlet = pylsl.StreamInlet(found)
    inlet.open_stream(10.0)
    now_ns = monotonic_ns()
    results = [replace(ok(now_ns), heads={}, gap=None, state=State.NO_FACE), ok(now_ns + 1_000_000)]
    deadline_s = time.monotonic() + 10
    while inlet.pull_sample(0.05)[0] is None and time.monotonic() < deadline_s:
        output.result(ok(now_ns - 1_000_000))  # until the inlet has subscribed
    while inlet.pull_sample(0.2)[0] is not None:
        pass
    assert all(output.result(each) for each in results)
    pulled = [inlet.pull_sample(10.0) for _ in results]
    info = inlet.info()
    channel = info.desc().child("channels").first_child()
    labels = []
    while not channel.empty():
        labels.append((channel.child_value("label"), channel.child_value("unit")))
        channel = channel.next_sibling()
    assert labels == result_channels({each.name: tuple(each.classes) for each in bundle.manifest.heads})
    assert info.type() == "Emotion"
    assert info.desc().child_value("bundle") == "random"
    for (row, stamp_s), result in zip(pulled, results, strict=True):
        assert row == pytest.approx(result_row(result.to_dict(), HEADS_OF), abs=1e-6, nan_ok=True)
        ahead_s = pylsl.local_clock() - time.monotonic()
        assert stamp_s == pytest.approx(result.end_ns * 1e-9 + ahead_s, abs=0.005)
    inlet.close_stream()
    output.end(None)


def test_a_row_has_a_number_for_every_channel() -> None:
    labels = [label for label, _ in result_channels(HEADS_OF)]
    row = dict(zip(labels, result_row(ok(1).to_dict(), HEADS_OF), strict=True))
    assert len(set(labels)) == len(labels)
    assert row["state"] == 0
    first = HEADS_OF["er-7"][0]
    assert row[f"er-7 {first}"] == 0.5
    assert row["fer-intensity"] == 0.25
    assert (row["gap larger than"], row["gap larger than of"], row["gap p differ"]) == (36, 40, 0.75)
    assert math.isnan(row["gap arousal"])
    empty = result_row(Result(1, State.STALE).to_dict(), HEADS_OF)
    assert empty[0] == 4
    assert all(math.isnan(each) for each in empty[1:])


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101])
def test_names_that_can_not_be_announced(bundle: Bundle, name: str) -> None:
    with pytest.raises(ConfigurationError, match="an LSL stream's name"):
        LslResults.settle(name, [Source()])
