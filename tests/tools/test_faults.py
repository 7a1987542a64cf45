from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.clock import ClockMapper
from emer_edge.runtime.trackers import Tracker, TrackerOptions, open_tracker
from emer_edge.runtime.trackers.formats import stream_formats
from emer_edge.runtime.trackers.formats.csv_lines import CsvDecoder
from emer_edge.runtime.trackers.formats.emer import EmerDecoder
from emer_edge.runtime.trackers.formats.opengaze import OpenGazeDecoder
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator, simulated_samples
from emer_edge.tools.simulate.faults import PRESETS, Faults, FaultSpec, Spell, parse_faults

DISPLAY = Display()
DECODERS = {"emer": EmerDecoder, "csv": CsvDecoder, "opengaze": OpenGazeDecoder}


def quiet(sentence: str) -> None:
    pass


def sent_and_read(text: str, name: str = "emer", count: int = 6000):
    """Samples as the eyes made them, the decoder that got their damaged bytes, what it read, and the faults."""
    original = list(islice(simulated_samples(), count))
    faults = Faults(parse_faults(text), say=quiet)
    encoder, decoder = stream_formats()[name].encoder(DISPLAY, 120.0), DECODERS[name](DISPLAY)
    read = [
        sample
        for late in faults.samples(iter(original))
        for sample in decoder.feed(faults.data(encoder.encode(late)), late.arrival_ns)
    ]
    return original, decoder, read, faults


def test_every_fault_is_written_as_a_value() -> None:
    assert parse_faults(
        "bits=1e-5,cut=1%,drop=0.02,duplicate=.01,jitter=20ms,drift=-100ppm,reset=30s,pause=10s:2s,unplug=1min:500ms,seed=1"
    ) == FaultSpec(
        1e-5,
        0.01,
        0.02,
        0.01,
        20_000_000,
        -100.0,
        30 * 10**9,
        Spell(10 * 10**9, 2 * 10**9),
        Spell(60 * 10**9, 500_000_000),
        1,
    )


def test_presets_stand_for_several_and_can_be_changed() -> None:
    everything = parse_faults("all")
    assert everything == parse_faults(",".join(PRESETS.values()))
    assert parse_faults("all,bits=0,unplug=0,seed=4") == replace(everything, bits=0.0, unplug=None, seed=4)
    assert parse_faults("all", whole_samples=True) == replace(everything, bits=0.0, cut=0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "name=value"),
        ("bits", "names are bits, cut"),
        ("typo=1", "names are bits, cut"),
        ("bits=1e-5,all", "alone or first"),
        ("cut=2", "between 0 and 1"),
        ("drop=-1%", "between 0 and 1"),
        ("drop=nan", "between 0 and 1"),
        ("jitter=20", "20ms"),
        ("jitter=1min", "no time from 0 s to 10 s"),
        ("drift=fast", "parts per million"),
        ("pause=10s", "how often and for how long"),
        ("pause=2s:2s", "shorter"),
        ("reset=1ms", "no time"),
        ("seed=x", "whole number"),
    ],
)
def test_what_cannot_be_read_is_one_clear_message(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_faults(text)


def test_a_stream_of_whole_samples_has_no_bytes_to_damage() -> None:
    with pytest.raises(ConfigurationError, match="whole samples"):
        parse_faults("bits=1e-5", whole_samples=True)
    faults = Faults(parse_faults("drop=10%,duplicate=10%"), whole_samples=True, say=quiet)
    sent = list(faults.samples(islice(simulated_samples(), 2000)))
    assert len(sent) == 2000 - faults.counts["dropped"] + faults.counts["duplicated"]
    assert 140 < faults.counts["dropped"] < 260


def test_without_faults_nothing_is_changed() -> None:
    original, decoder, read, faults = sent_and_read("seed=9")
    assert len(read) == len(original)
    assert decoder.counters.losses() == {}
    assert faults.counts == {}


def test_the_same_seed_makes_the_same_faults() -> None:
    runs = [sent_and_read(f"all,seed={seed}", count=3000)[2] for seed in (5, 5, 6)]
    one, two, other = ([(sample.device_ns, sample.arrival_ns) for sample in read] for read in runs)
    assert one == two != other


def test_lost_and_doubled_samples_show_in_the_counters() -> None:
    original, decoder, read, faults = sent_and_read("drop=5%,duplicate=3%")
    assert decoder.counters.losses() == {"lost": faults.counts["dropped"], "duplicated": faults.counts["duplicated"]}
    assert len(read) == len(original) - faults.counts["dropped"]
    assert 220 < faults.counts["dropped"] < 380
    assert 120 < faults.counts["duplicated"] < 240


@pytest.mark.parametrize("name", ["emer", "opengaze"])
def test_damage_costs_the_damaged_samples_and_harms_no_other(name: str) -> None:
    original, decoder, read, faults = sent_and_read("bits=2e-5,cut=2%", name)
    counters = decoder.counters
    assert counters.bad_crc + counters.garbage > 50
    assert len(original) - len(read) <= faults.counts["cut"] + faults.counts["bit errors"]
    if name == "emer":  # a check sum: what comes through is what was sent, to float32
        by_time = {(sample.device_ns or 0) // 1000: sample for sample in original}
        for reading in read:
            sent = by_time[(reading.device_ns or 0) // 1000]
            for before, after in ((sent.left, reading.left), (sent.right, reading.right)):
                assert after.valid == before.valid
                np.testing.assert_allclose(after.gaze_px, before.gaze_px, rtol=1e-5)
                np.testing.assert_allclose(after.pupil_mm, before.pupil_mm, rtol=1e-6)


@pytest.mark.parametrize("bits", [1e-4, 1e-3, 1.0])
def test_bit_errors_are_as_frequent_as_asked_for(bits: float) -> None:
    faults = Faults(FaultSpec(bits=bits), say=quiet)
    data = bytes(range(256)) * 4
    damaged = b"".join(faults.data(data) for _ in range(200))
    wrong = int(np.unpackbits(np.frombuffer(damaged, np.uint8) ^ np.frombuffer(data * 200, np.uint8)).sum())
    assert wrong == faults.counts["bit errors"]
    expected = bits * 8 * 1024 * 200
    assert abs(wrong - expected) <= 5 * (expected * (1 - bits)) ** 0.5


def test_a_cut_frame_loses_its_end() -> None:
    faults = Faults(FaultSpec(cut=1.0), say=quiet)
    cut = [faults.data(b"0123456789") for _ in range(300)]
    assert {len(data) for data in cut} == set(range(1, 10))
    assert all(b"0123456789".startswith(data) for data in cut)


def test_jitter_delays_by_its_mean_and_nothing_overtakes() -> None:
    faults = Faults(parse_faults("jitter=20ms"), say=quiet)
    sent = list(faults.samples(islice(simulated_samples(rate_hz=2.0), 4000)))
    late_ms = np.array([sample.arrival_ns - (sample.device_ns or 0) for sample in sent]) * 1e-6
    assert late_ms.min() >= 0
    assert late_ms.mean() == pytest.approx(20.0, rel=0.1)
    assert (np.diff([sample.arrival_ns for sample in sent]) >= 0).all()


def test_the_clock_mapping_sees_the_drift_the_jitter_and_the_resets() -> None:
    faults = Faults(parse_faults("jitter=5ms,drift=100ppm,reset=40s"), say=quiet)
    mapper, errors_ms = ClockMapper(), []
    original = list(islice(simulated_samples(), 120 * 90))
    for true, late in zip(original, faults.samples(iter(original)), strict=True):
        stamp_ns = mapper.map(late.device_ns, late.arrival_ns)
        errors_ms.append((stamp_ns - true.arrival_ns) * 1e-6)
    assert mapper.resets == faults.counts["clock resets"] == 2
    assert mapper.report.drift_ppm == pytest.approx(100.0, abs=15.0)
    assert np.percentile(np.abs(errors_ms[120 * 50 : 120 * 78]), 99) < 2.0


def test_pauses_come_back_and_are_said() -> None:
    said: list[str] = []
    faults = Faults(parse_faults("pause=3s:500ms"), say=said.append)
    times_s = [sample.arrival_ns / 1e9 for sample in faults.samples(islice(simulated_samples(), 1200))]
    assert said == ["the tracker pauses for 0.5 s"] * 3
    assert not [time_s for time_s in times_s if time_s >= 3 and time_s % 3 < 0.5]
    assert len(times_s) == 1200 - 3 * 60


@dataclass
class Seen:
    samples: list[TrackerSample] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    resets: int = 0


@contextmanager
def playing(simulator: TrackerSimulator, seconds: float) -> Iterator[None]:
    thread = threading.Thread(target=simulator.play, args=(seconds,))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def watched(name: str, text: str, seconds: float, rate_hz: float, link: Path | None = None) -> Seen:
    """What a driver sees of a tracker with faults, played in real time."""
    seen = Seen()
    faults = Faults(parse_faults(text), say=quiet)

    def read(tracker: Tracker) -> None:
        seen.samples += list(tracker)

    with (
        TrackerSimulator(SimulatedTracker(name, rate_hz, link=link), faults) as simulator,
        playing(simulator, seconds),
        open_tracker(simulator.path, TrackerOptions(say=seen.said.append)) as tracker,
    ):
        reader = threading.Thread(target=read, args=(tracker,))
        reader.start()
        threading.Event().wait(seconds - 0.4)
        report = tracker.clock_report
        seen.resets, seen.dropped = 0 if report is None else report.resets, tracker.dropped
        tracker.close()
        reader.join()
    seen.counts = faults.counts
    return seen


@pytest.mark.parametrize("name", ["emer", "opengaze-tcp"])
def test_a_driver_counts_what_a_bad_line_costs(name: str) -> None:
    seen = watched(name, "bits=1e-5,cut=3%,drop=5%,duplicate=5%", 3.0, 400.0)
    damaged = seen.dropped.get("bad crc", 0) + seen.dropped.get("garbage", 0)
    assert seen.dropped["lost"] > 10
    assert seen.dropped["duplicated"] > 10
    assert damaged > 3
    assert len(seen.samples) > 500
    stamps = [sample.stamp_ns for sample in seen.samples]
    assert (np.diff(stamps) > 0).all()


@pytest.mark.parametrize("name", ["emer", "opengaze-tcp"])
def test_a_driver_maps_a_bad_clock_and_comes_back_after_unplugging(name: str, tmp_path: Path) -> None:
    link = tmp_path / "tracker" if name == "emer" else None
    seen = watched(name, "drift=100ppm,jitter=3ms,reset=1500ms,unplug=2s:400ms", 4.2, 200.0, link)
    assert seen.counts["unplugged"] >= 1
    assert seen.dropped["disconnects"] >= 1
    assert any("lost the tracker" in sentence for sentence in seen.said)
    assert any("is back after" in sentence for sentence in seen.said)
    assert seen.resets >= 1
    assert (np.diff([sample.stamp_ns for sample in seen.samples]) > 0).all()
    assert all(sample.stamp_ns - sample.arrival_ns < 1_000_000 for sample in seen.samples)


def test_the_command_says_every_fault_and_the_unplugged_terminal_keeps_its_name() -> None:
    command = [sys.executable, "-m", "emer_edge", "simulate", "tracker", "--seconds", "1.9", "--faults"]
    done = subprocess.run(
        [*command, "line,pause=1s:200ms,unplug=500ms:300ms"], capture_output=True, text=True, check=True
    )
    link = Path(done.stdout.strip().removeprefix("serial://"))
    assert link.name.startswith("emer-edge-tracker-")
    assert not link.is_symlink()
    assert "the tracker is unplugged for 0.3 s" in done.stderr
    assert "the tracker is plugged in again" in done.stderr
    assert "the tracker pauses for 0.2 s" in done.stderr
    assert re.search(r"faults: .*\bpauses 1\b", done.stderr)
    refused = subprocess.run([*command, "typo=1"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "names are bits, cut, drop" in " ".join(refused.stderr.split())
