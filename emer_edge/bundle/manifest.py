"""`manifest.json`: what a bundle is, what the device must match, and the hash of every file in it.

Decoding is strict: a missing field, an unknown field or a value of another type is one BundleError that names it.
"""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec

from emer_edge.bundle.reading import read_json
from emer_edge.bundle.reading_records import MOST_LOST_POINTS, GapRecord, GuardRecord, WithoutEyesRecord
from emer_edge.bundle.variants import VARIANTS
from emer_edge.core.errors import BundleError, EmerEdgeError
from emer_edge.core.heads import HEADS, protocols_of
from emer_edge.core.samples import Display
from emer_edge.core.standard_streams import to_json
from emer_edge.core.window import EVENT_CONSTANTS, EYE_COLUMN_COUNT, FACE_SIZE_PX, NANOSECONDS, EventsRule, WindowSpec

MANIFEST_NAME: Final = "manifest.json"
SCHEMA: Final = 3
"""Version 2 may hold several precisions: parts such as `face_encoder-int8`, and `Manifest.combinations`. Version 3 may
hold `guard.npz`, `Manifest.guard`, `Manifest.gap` and `Manifest.without_eyes`."""
_READ: Final = (1, 2, SCHEMA)
QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles of an eye column in `Manifest.eye_quantiles`."""
_LARGEST_BYTES: Final = 2 << 30  # of all files; an FP16 export for CPUs and GPUs has 95 MB
_Level = Annotated[float, msgspec.Meta(ge=0, le=255)]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class FileRecord(_Record, frozen=True):
    """One file: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, msgspec.Meta(ge=0)]


class BundledHead(_Record, frozen=True):
    """One output of the fusion part.

    Attributes:
        name: a name of `emer_edge.core.heads.HEADS`.
        classes: class names in output order; empty for a value head.
        temperature: divides the logits before the softmax; 1 for a value head.
    """

    name: str
    classes: tuple[str, ...] = ()
    temperature: Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)] = 1.0


class NetworkRecord(_Record, frozen=True):
    """One network of several in a bundle: its heads, face encoder part and fusion part; encoders may be shared."""

    heads: tuple[str, ...]
    encoder: str = "face_encoder"
    fusion: str = "fusion"


class FaceRecord(_Record, frozen=True):
    """How a face becomes a crop, as measured on the data set's own crops.

    Attributes:
        template_px: (5, 2) median landmarks of the training crops in a 112 x 112 crop: eyes, nose tip and mouth
            corners, those on the left of the image first.
        template_faces: crops with landmarks; 0 means the generic template.
        brightness_mean, brightness_std: of the crops' mean grey levels, 0 to 255.
        match_brightness: scale live crops whose mean grey level is more than one standard deviation from the mean to
            one; crops of a data set are unchanged.
    """

    template_px: tuple[tuple[float, float], ...]
    template_faces: int = 0
    brightness_mean: _Level | None = None
    brightness_std: _Level | None = None
    match_brightness: bool = False

    def __post_init__(self) -> None:
        if len(self.template_px) != 5 or len(set(self.template_px)) != 5:
            raise ValueError(f"face.template_px must hold 5 landmarks, not {len(set(self.template_px))}")
        if not all(0 <= side <= FACE_SIZE_PX for point in self.template_px for side in point):
            raise ValueError(f"face.template_px must lie in a crop of {FACE_SIZE_PX} x {FACE_SIZE_PX}")
        if self.match_brightness and not (self.brightness_mean and self.brightness_std):
            raise ValueError("face.match_brightness needs face.brightness_mean and face.brightness_std above 0")


class DetectorRecord(_Record, frozen=True):
    """The face detector part.

    Attributes:
        kind: decoder of its outputs.
        height_px, width_px: its fixed input size.
        near_px: side of the square input of `face_detector_near`, the same network for detections near the last face;
            0 where the bundle has no such part.
        score: threshold of detections.
        source: origin of the file.
    """

    kind: Literal["centerface", "yunet"]
    height_px: Annotated[int, msgspec.Meta(ge=32, le=4096, multiple_of=32)]
    width_px: Annotated[int, msgspec.Meta(ge=32, le=4096, multiple_of=32)]
    score: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    source: str = ""
    near_px: Annotated[int, msgspec.Meta(ge=0, le=4096, multiple_of=32)] = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts: the one for a whole image, and the one for a face near the last one."""
        return ("face_detector", "face_detector_near") if self.near_px else ("face_detector",)


class PrecisionRecord(_Record, frozen=True):
    """Precision of the parts.

    Attributes:
        requested: `--precision`, such as `int8` or `fp16,int8`: the first one is used until a device has chosen.
        parts: `cpu/face_encoder` -> `int8`, and so on for all parts of both variants; `cpu/face_encoder-fp32` where a
            further precision has another file.
        kept_high: layers that were returned to high precision, for the gate or by hand.
        int8_macs: share, 0 to 1, of the multiply-accumulate operations that are INT8: `cpu/face_encoder` and so on, and
            `cpu/step` and `tensorrt/step` for one crop and one window; empty in older bundles.
    """

    requested: Annotated[str, msgspec.Meta(pattern=r"^(auto|(fp32|fp16|int8)(,(fp32|fp16|int8))*)$")]
    parts: dict[str, Literal["fp32", "fp16", "int8"]]
    kept_high: tuple[str, ...] = ()
    int8_macs: dict[str, float] = {}


class CalibrationRecord(_Record, frozen=True):
    """How the INT8 ranges were calibrated.

    Attributes:
        method: for example `minmax`.
        windows: number of windows.
        clip_hashes: salted hashes of their clips.
        source: `data` (the user's EMER clips) or `synthetic`.
        requested: `--calibration-method`, which may be `auto`; empty in older bundles.
        windows_by_class: class name -> its windows; empty in older bundles.
        participants: people in the windows; 0 in older bundles.
        methods: the candidates of `auto`: method -> `<variant>/shift` (mean change of the heads' outputs on selection
            windows, 0 to 1) and `<variant>/embedding_db` (signal to noise of the embeddings).
    """

    method: str
    windows: int
    clip_hashes: tuple[str, ...]
    source: Literal["data", "synthetic"]
    requested: str = ""
    windows_by_class: dict[str, int] = {}
    participants: int = 0
    methods: dict[str, dict[str, float]] = {}


class DataRecord(_Record, frozen=True):
    """The training data, without naming anybody.

    Attributes:
        fingerprint: of the data set.
        salt: of the clip hashes.
        fold: the held-out fold, 1 to 5, or 0 when unknown.
        training_hashes, selection_hashes: salted hashes of the clips of both slices.
        synthetic: whether it is this project's synthetic data set.
        clocks: how the rows of its sheets got their times -> clips; empty where that is unknown.
    """

    fingerprint: str
    salt: str
    fold: int
    training_hashes: tuple[str, ...]
    selection_hashes: tuple[str, ...]
    synthetic: bool = False
    clocks: dict[str, int] = {}


class GateRecord(_Record, frozen=True):
    """The accuracy gate on selection windows.

    Attributes:
        verdict: `passed`, `inconclusive` (the interval is wider than the margin), `failed`, or `not run` (no data).
        windows: number of selection windows.
        clips, participants: of these windows; 0 in older bundles.
        fp32, final: `<head>/<metric>`, `gap/shift` or `gap/auroc` -> figure before and after.
        change_low, change_high: 95 % interval of the change, clustered over participants.
    """

    verdict: Literal["passed", "inconclusive", "failed", "not run"]
    windows: int = 0
    clips: int = 0
    participants: int = 0
    fp32: dict[str, float] = {}
    final: dict[str, float] = {}
    change_low: dict[str, float] = {}
    change_high: dict[str, float] = {}


class Combination(_Record, frozen=True):
    """Parts that may run together.

    Attributes:
        parts: part of `NetworkRecord` -> what computes it: `fusion` -> `tensorrt/fusion`, or `cpu/fusion-int8`.
        verdict: of the gate on their result.
    """

    parts: dict[str, str]
    verdict: Literal["passed", "inconclusive", "not run"]


class VerificationRecord(_Record, frozen=True):
    """Difference between the exported parts and their network.

    Attributes:
        inputs: of the comparison.
        largest_error: `cpu/fusion` -> largest difference as a share of the output's largest value.
    """

    inputs: str
    largest_error: dict[str, float]


class Manifest(_Record, frozen=True):
    """Everything a device needs to know about a bundle.

    Attributes:
        schema: version of this layout.
        name: the bundle's name.
        created: UTC, ISO 8601.
        versions: tool -> version at export.
        heads: outputs of the fusion parts.
        window: the training window.
        events: how columns 33 to 39 were filled.
        events_constants: that rule's `EVENT_CONSTANTS`.
        eye_columns: the 39 keys in input order.
        eye_quantiles: column key -> its `QUANTILES` in the training data; empty when unknown.
        gap_quantiles: of bundles before schema 3: 101 percentiles of the gap among agreeing selection windows.
        gap: what the gap is compared with; None when unknown.
        guard: of faces unlike those of training; None without data.
        without_eyes: what FER loses without eyes; None when unknown.
        networks: of a bundle with several; empty for one.
        combinations: which parts may run together, the first precision's own variants first: their result passed the
            gate, or all are FP32, or they are one variant in a precision that was asked for by name. Empty in older
            bundles, whose variants are not mixed.
        demo: demo weights, trained on synthetic clips.
        weights: what the face encoder is, where it is the packaged one; empty for weights of one's own.
        research_only: EMER's agreement covers the training data.
        files: path inside the bundle -> hash and size.
    """

    schema: int
    name: str
    created: str
    versions: dict[str, str]
    heads: tuple[BundledHead, ...]
    window: WindowSpec
    events: EventsRule
    eye_columns: tuple[str, ...]
    face: FaceRecord
    detector: DetectorRecord
    precision: PrecisionRecord
    gate: GateRecord
    verification: VerificationRecord
    files: dict[str, FileRecord]
    eye_quantiles: dict[str, tuple[float, ...]] = {}
    events_constants: dict[str, float] = {}
    display: Display | None = None
    calibration: CalibrationRecord | None = None
    data: DataRecord | None = None
    gap_quantiles: tuple[float, ...] = ()
    gap: GapRecord | None = None
    guard: GuardRecord | None = None
    without_eyes: WithoutEyesRecord | None = None
    networks: tuple[NetworkRecord, ...] = ()
    combinations: tuple[Combination, ...] = ()
    demo: bool = False
    weights: str = ""
    research_only: bool = False

    def __post_init__(self) -> None:
        unknown = [head.name for head in self.heads if head.name not in HEADS]
        if unknown or not self.heads:
            raise ValueError(f"heads must be among {', '.join(HEADS)}, not {', '.join(unknown) or 'empty'}")
        if len(self.eye_columns) != EYE_COLUMN_COUNT:
            raise ValueError(f"eye_columns must name {EYE_COLUMN_COUNT} columns, not {len(self.eye_columns)}")
        if len(set(self.head_names)) != len(self.heads):
            raise ValueError("a head is named twice")
        for head in self.heads:
            width = HEADS[head.name].width if HEADS[head.name].kind == "class" else 0
            if not len(head.classes) == len(set(head.classes)) == width:
                raise ValueError(f"{head.name} has {width} different classes, not {', '.join(head.classes) or 'none'}")
        if self.window.length_ns > 600 * NANOSECONDS or self.window.hop_ns < NANOSECONDS // 100:
            raise ValueError("window must be up to 600 s long, with hops of 10 ms or more")
        if self.display is not None and max(astuple(self.display)) > 100_000:
            raise ValueError("display must be up to 100,000 pixels and mm wide and high")
        rows = self.eye_quantiles.values()
        if not set(self.eye_quantiles) <= set(self.eye_columns) or not all(
            _rising(row, len(QUANTILES)) for row in rows
        ):
            raise ValueError(f"eye_quantiles must hold {len(QUANTILES)} rising numbers for columns of eye_columns")
        if self.gap_quantiles and not _rising((0.0, *self.gap_quantiles, 1.0), 103):
            raise ValueError("gap_quantiles must hold 101 rising numbers between 0 and 1")
        if self.total_bytes > _LARGEST_BYTES:
            raise ValueError(f"files must have up to {_LARGEST_BYTES:,} bytes together")
        if self.events_constants != EVENT_CONSTANTS[self.events]:
            raise ValueError(
                f"events {self.events} have the constants {self.events_constants}, this emer-edge has "
                f"{EVENT_CONSTANTS[self.events]}: export the bundle again"
            )
        given = sorted(name for network in self.networks for name in network.heads)
        if self.networks and given != sorted(self.head_names):
            raise ValueError(f"the networks give {', '.join(given)}, the heads are {', '.join(self.head_names)}")
        for combination in self.combinations:
            if set(combination.parts) != set(self.roles) or not set(combination.parts.values()) <= set(
                self.precision.parts
            ):
                raise ValueError(
                    f"combinations must name a part of precision.parts for each of {', '.join(self.roles)}"
                )

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the heads in output order."""
        return tuple(head.name for head in self.heads)

    @property
    def all_networks(self) -> tuple[NetworkRecord, ...]:
        """The networks, also where there is only one."""
        return self.networks or (NetworkRecord(heads=self.head_names),)

    @property
    def blind_refusal(self) -> str | None:
        """Why nothing is read without eyes; None where FER is."""
        if not any(HEADS[name].view == "fer" for name in self.head_names):
            return f"bundle {self.name} has no FER head, and ER needs eyes"
        if (given := self.without_eyes) is None:
            why = "it was exported by an older version, or without clips labelled for FER"
            return f"bundle {self.name} does not say what FER loses without eyes: {why}"
        lost = f"loses {given.lost_points:.1f} points of {given.worst} without eyes, more than {MOST_LOST_POINTS:g}"
        return f"bundle {self.name} {lost}" if given.lost_points > MOST_LOST_POINTS else None

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks' parts, each once: `face_encoder`, `fusion`, `fusion_2` ..."""
        return tuple(dict.fromkeys(part for each in self.all_networks for part in (each.encoder, each.fusion)))

    @property
    def all_combinations(self) -> tuple[Combination, ...]:
        """The combinations, in older bundles the variants as they are."""
        verdict = "inconclusive" if self.gate.verdict == "failed" else self.gate.verdict
        return self.combinations or tuple(
            Combination(parts={role: f"{variant}/{role}" for role in self.roles}, verdict=verdict)
            for variant in VARIANTS
        )

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that can score these heads."""
        return tuple(protocol.name for protocol in protocols_of(self.head_names))

    def to_json(self) -> bytes:
        """Encode as indented JSON, with the protocols' names for readers."""
        document = msgspec.to_builtins(self)
        document["protocols"] = list(self.protocols)
        return msgspec.json.format(to_json(document), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: str = MANIFEST_NAME) -> Manifest:
        """Decode; BundleError names the wrong field, the key that is there twice, or the newer schema."""
        try:
            document = read_json(data)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where} is not JSON as export writes it ({error}); export the bundle again") from None
        if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
            raise BundleError(f"{where} names no schema version; it is not a manifest of emer-edge")
        if document["schema"] > SCHEMA:
            raise BundleError(
                f"{where} has schema {document['schema']}, this emer-edge reads up to {SCHEMA}; upgrade emer-edge"
            )
        if document["schema"] not in _READ:
            raise BundleError(f"{where} has schema {document['schema']}, which this emer-edge no longer reads")
        document.pop("protocols", None)
        try:
            return msgspec.convert(document, cls)
        except (msgspec.ValidationError, EmerEdgeError, RecursionError) as error:
            raise BundleError(f"{where} is not a valid manifest: {error}") from None


def _rising(row: tuple[float, ...], count: int) -> bool:
    return len(row) == count and all(one <= other for one, other in pairwise(row))
