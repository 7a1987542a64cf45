"""`report.json`: the measurements of an export as typed records, which the page and the terminal read.

Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

import json
import math
from typing import Final, Literal

import msgspec

from emer_edge.bundle import CPU, TENSORRT
from emer_edge.bundle.manifest import NetworkRecord
from emer_edge.core.errors import DataError
from emer_edge.metrics.latency import LatencySummary

SCHEMA: Final = 3

PartPrecision = Literal["fp32", "fp16", "int8"]
Verdict = Literal["passed", "inconclusive", "failed"]
Estimated = tuple[float | None, float | None, float | None]
"""A figure and its 95 % limits, None where they are unknown."""


def known(value: float) -> float | None:
    """The number, or None where it is none: JSON has no NaN."""
    return value if math.isfinite(value) else None


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class PartFigures(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """One part of one variant.

    Attributes:
        precision: what it computes in.
        bytes: size of its file.
        largest_error: difference from torch, a share of the largest output; None for detectors, as are the others.
        macs: multiply-accumulate operations for one crop or window.
        int8_macs: share of them that is INT8, 0 to 1.
    """

    precision: PartPrecision
    bytes: int
    largest_error: float | None = None
    macs: int | None = None
    int8_macs: float | None = None


class Timing(_Record, frozen=True, kw_only=True):
    """Times of several candidates from one run.

    Attributes:
        engine: what ran them, a name of `emer_edge.runtime.engines.ENGINES`.
        device: for people.
        threads: of the engine.
        times: candidate -> `face_encoder` (one crop), `fusion` (one window) and `step` (both) -> percentiles.
    """

    engine: str
    device: str
    threads: int = 1
    times: dict[str, dict[str, LatencySummary]]

    def medians_ms(self, candidate: str) -> dict[str, float]:
        """Medians of a candidate, milliseconds."""
        return {name: round(latency.p50_ms, 3) for name, latency in self.times[candidate].items()}


class GateFigures(_Record, frozen=True, kw_only=True):
    """The verdict of the accuracy gate, what it was judged on, and metric -> what may be lost."""

    verdict: Verdict | Literal["not run"]
    windows: int
    clips: int
    participants: int
    margins: dict[str, float]


class ChangeRow(_Record, frozen=True, kw_only=True):
    """One metric of one head before and after (`emer_edge.export.judging.gate.Change`); unknown limits are None."""

    name: str
    before: float | None
    after: float | None
    loss: float | None
    low: float | None
    high: float | None
    margin: float
    verdict: Verdict


class TrialFigures(_Record, frozen=True, kw_only=True):
    """One variant on selection windows (`emer_edge.export.judging.trial.Trial`)."""

    verdict: Verdict
    changes: tuple[ChangeRow, ...]
    agreement: dict[str, float]
    embedding_db: float | None
    faults: tuple[str, ...]


class ProbabilityScores(_Record, frozen=True, kw_only=True):
    """Calibration of the probabilities of a class head.

    Attributes:
        temperature: fitted on all windows, as a bundle holds it.
        ece, nll, brier: scores by temperatures that were fitted on other participants' windows.
        reliability: low and high edge, count, confidence and accuracy of each bin.
    """

    temperature: float
    ece: float
    nll: float
    brier: float
    reliability: tuple[tuple[float, float, int, float, float], ...]


class LayerSensitivity(_Record, frozen=True, kw_only=True):
    """What quantising one layer alone does.

    Attributes:
        layer: its name.
        part: `face_encoder` or `fusion`.
        macs: its multiply-accumulate operations for one crop or window; 0 for a residual sum.
        embedding_db: signal to noise of the embedding, dB; None for a product of fusion.
        shift: mean movement of all heads, 0 to 1 (`emer_edge.export.judging.gate.shift_of`): what layers are sorted by.
        heads: head -> the same of this head: mean base-2 Jensen-Shannon distance of the class probabilities, or mean
            absolute difference of the value as a share of its label's range.
        agreement: class head -> share of windows whose best class stays.
    """

    layer: str
    part: str
    macs: int
    embedding_db: float | None
    shift: float
    heads: dict[str, float]
    agreement: dict[str, float]


class Tried(_Record, frozen=True, kw_only=True):
    """A number of layers put back, and the gate's verdict."""

    layers: int
    verdict: str


class FallBack(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The cost of the gate; empty where no layer was put back.

    Attributes:
        layers: put back, the most sensitive first.
        tried: every number of layers that was tried.
        step_ms_before, step_ms: median step with none put back and with all of them.
        int8_macs_before, int8_macs: share of INT8 operations, by `cpu/step` and so on.
        failed: variant -> what failed before.
    """

    layers: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    step_ms_before: float = 0.0
    step_ms: float = 0.0
    int8_macs_before: dict[str, float] = {}
    int8_macs: dict[str, float] = {}
    failed: dict[str, tuple[str, ...]] = {}


class CandidateRow(_Record, frozen=True, kw_only=True):
    """A precision that `auto` chose from; times and size of encoder and fusion are None where it was not tried."""

    precision: PartPrecision
    step_ms: float | None = None
    step_p90_ms: float | None = None
    steps: int | None = None
    bytes: int | None = None
    verdict: str
    kept: bool
    why: str


class StyleRange(_Record, frozen=True, kw_only=True):
    """The range that a tensor got in a variant, the share of values outside, and the expected signal to noise."""

    low: float
    high: float
    clipped: float
    noise_db: float | None


class TensorRange(_Record, frozen=True, kw_only=True):
    """The values of a tensor in calibration, and the range of each variant."""

    name: str
    low: float
    high: float
    cpu: StyleRange
    tensorrt: StyleRange

    @property
    def styles(self) -> dict[str, StyleRange]:
        """Variant -> its range."""
        return {CPU: self.cpu, TENSORRT: self.tensorrt}


class Calibration(_Record, frozen=True, kw_only=True):
    """The manifest's record (`emer_edge.bundle.manifest.CalibrationRecord`) without the hashes of clips."""

    method: str
    windows: int
    source: Literal["data", "synthetic"]
    requested: str
    windows_by_class: dict[str, int]
    participants: int
    methods: dict[str, dict[str, float]]


class TensorRtCheck(_Record, frozen=True, kw_only=True):
    """TensorRT's check of one part.

    Attributes:
        part: `face_encoder` and so on.
        ok: whether it was parsed and built.
        package: package and version, empty when not built.
        seconds: time to parse and build.
        plan_bytes: size of the plan.
        layers: kernels of the plan, by the builder's log; 0 where the log lists none.
        convolutions: types as `int8 to fp16` -> how many read and write them.
        requantising: kernels of their own that make INT8 of floating point.
        error: TensorRT's message and the node, empty when it was built.
    """

    part: str
    ok: bool
    package: str = ""
    seconds: float = 0.0
    plan_bytes: int = 0
    layers: int = 0
    convolutions: dict[str, int] = {}
    requantising: int = 0
    error: str = ""


class ExportReport(_Record, frozen=True, kw_only=True):
    """The measurements of an export.

    Attributes:
        schema: version of this layout.
        name: the bundle's.
        facts: name -> text.
        data: the data set's table (`emer_edge.data.overview`); empty without data.
        notes: for the user.
        parts: `cpu/face_encoder` and so on -> its figures.
        verified_on: the inputs of `largest_error`.
        fp32_ms, final_ms: medians of `face_encoder`, `fusion` and `step` before and after, side by side in one run.
        timing: that run.
        int8_macs, macs: share of INT8 operations, and operations (`total`, `int8`), of each part and of `cpu/step` and
            `tensorrt/step`.
        gate: of the cpu variant, with the worse verdict of the two.
        trials: variant -> its trial; empty without selection windows, as are the next two.
        accuracy: `fp32` and variant -> head -> `war` and `uar`, or `mae` -> figure and limits.
        probabilities: `fp32` and variant -> class head -> their calibration.
        sensitivity: one row per layer, the most sensitive first; empty where not measured.
        kept_high: layers that stay in floating point, by `--exclude` or for the gate.
        fall_back: the cost of the gate.
        candidates: of `--precision auto`; empty otherwise.
        ranges: of int8; empty otherwise.
        calibration: of int8; None otherwise.
        heads: class names in output order by head, none for values.
        networks: heads and parts of each network.
        command: the command line without folders; empty where export was called from Python.
        tensorrt: the check of each part, or why there is none.
    """

    schema: Literal[3] = SCHEMA
    name: str
    facts: dict[str, str]
    data: dict[str, str] = {}
    notes: tuple[str, ...]
    parts: dict[str, PartFigures]
    verified_on: str
    fp32_ms: dict[str, float]
    final_ms: dict[str, float]
    timing: Timing
    int8_macs: dict[str, float]
    macs: dict[str, dict[str, int]]
    gate: GateFigures
    trials: dict[str, TrialFigures]
    accuracy: dict[str, dict[str, dict[str, Estimated]]]
    probabilities: dict[str, dict[str, ProbabilityScores]]
    sensitivity: tuple[LayerSensitivity, ...]
    kept_high: tuple[str, ...]
    fall_back: FallBack
    candidates: tuple[CandidateRow, ...]
    ranges: tuple[TensorRange, ...]
    calibration: Calibration | None
    heads: dict[str, tuple[str, ...]]
    networks: tuple[NetworkRecord, ...]
    command: str
    tensorrt: str | tuple[TensorRtCheck, ...]

    @property
    def precision(self) -> str:
        """The lowest precision that a part computes in, as people write it: what the bundle is called by."""
        used = {part.precision for part in self.parts.values()}
        return next((precision.upper() for precision in ("int8", "fp16") if precision in used), "FP32")

    def variant_precision(self, variant: str) -> str:
        """What a variant's networks compute in: `INT8`, or `INT8 and FP16` where parts differ."""
        parts = (key for key in self.parts if key.startswith(f"{variant}/") and "face_detector" not in key)
        return " and ".join(dict.fromkeys(self.parts[key].precision.upper() for key in parts)) or "FP32"

    @property
    def variant_labels(self) -> dict[str, str]:
        """`fp32` and the variants that compute in anything else, as legends call them."""
        used = {variant: self.variant_precision(variant) for variant in self.trials}
        labels = {name: f"{name}, {precision}" for name, precision in used.items() if precision != "FP32"}
        return {"fp32": "FP32", **labels}

    def bytes_of(self, variant: str) -> int:
        """Size of all parts of a variant."""
        return sum(part.bytes for key, part in self.parts.items() if key.startswith(f"{variant}/"))

    def to_json(self) -> bytes:
        """Encode, indented."""
        return json.dumps(msgspec.to_builtins(self), indent=2, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: str = "report.json") -> ExportReport:
        """Decode; raise DataError naming the field that is wrong, or another schema."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{where} is no report of export, schema {SCHEMA}: {error}") from None
