"""`manifest.json`: what a bundle is, what the device must match, and the hash of every file in it.

Decoding is strict: a missing field, an unknown field or a value of another type is one BundleError that names it.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from emer_edge.core.errors import BundleError, EmerEdgeError
from emer_edge.core.heads import HEADS, protocols_of
from emer_edge.core.samples import Display
from emer_edge.core.window import EYE_COLUMN_COUNT, EventsRule, WindowSpec

MANIFEST_NAME: Final = "manifest.json"
SCHEMA: Final = 1
QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles that `Manifest.eye_quantiles` holds of each eye column."""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class FileRecord(_Record, frozen=True):
    """One file: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    bytes: int


class BundledHead(_Record, frozen=True):
    """One output of the fusion part.

    Attributes:
        name: a name of `emer_edge.core.heads.HEADS`.
        classes: class names in output order; empty for a value head.
        temperature: logits are divided by it before the softmax; 1 for a value head.
    """

    name: str
    classes: tuple[str, ...] = ()
    temperature: float = 1.0


class NetworkRecord(_Record, frozen=True):
    """One network of several in a bundle.

    Attributes:
        heads: those that it gives.
        encoder: its face encoder part; networks with the same encoder share one.
        fusion: its fusion part.
    """

    heads: tuple[str, ...]
    encoder: str = "face_encoder"
    fusion: str = "fusion"


class FaceRecord(_Record, frozen=True):
    """How a face becomes a crop, as measured on the data set's own crops.

    Attributes:
        template_px: (5, 2) median landmarks of the training crops in a 112 x 112 crop: the eyes, the nose tip and the
            mouth corners, those on the left of the image first.
        template_faces: crops in which the landmarks were found; 0 means the generic template.
        brightness_mean, brightness_std: mean and standard deviation over crops of the mean grey level, 0 to 255.
        match_brightness: live crops whose mean grey level lies further than one standard deviation from the mean are
            scaled to lie at one; crops of a data set are taken as they are.
    """

    template_px: tuple[tuple[float, float], ...]
    template_faces: int = 0
    brightness_mean: float | None = None
    brightness_std: float | None = None
    match_brightness: bool = False


class DetectorRecord(_Record, frozen=True):
    """The face detector part.

    Attributes:
        kind: which decoder reads its outputs.
        height_px, width_px: its fixed input size.
        near_px: side of the square input of `face_detector_near`, the same network for looks at a face that was there
            a moment ago; 0 where the bundle has no such part.
        score: detections below it are dropped.
        source: where the file comes from.
    """

    kind: Literal["centerface", "yunet"]
    height_px: int
    width_px: int
    score: float = 0.5
    source: str = ""
    near_px: int = 0


class PrecisionRecord(_Record, frozen=True):
    """What the parts compute in.

    Attributes:
        requested: the `--precision` asked for.
        parts: `cpu/face_encoder` -> `int8`, and so on for every part of both variants.
        kept_high: layers that were returned to high precision, for the gate or by hand.
        int8_macs: share, 0 to 1, of the multiply-accumulate operations that are INT8: `cpu/face_encoder` and so on, and
            `cpu/step` and `tensorrt/step` for one crop and one window; empty in older bundles.
    """

    requested: Literal["fp32", "fp16", "int8", "auto"]
    parts: dict[str, Literal["fp32", "fp16", "int8"]]
    kept_high: tuple[str, ...] = ()
    int8_macs: dict[str, float] = {}


class CalibrationRecord(_Record, frozen=True):
    """How the INT8 ranges were found.

    Attributes:
        method: the method that gave the ranges, for example `minmax`.
        windows: number of windows.
        clip_hashes: salted hashes of the clips they came from.
        source: `data` (the user's EMER clips) or `synthetic`.
        requested: the method asked for, which may be `auto`; empty in older bundles.
        windows_by_class: class name -> windows that show it; empty in older bundles.
        participants: people in these windows; 0 in older bundles.
        methods: what `auto` chose from, method -> `<variant>/shift` (mean movement of the heads' answers on selection
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
    """What the model was trained on, without naming anybody.

    Attributes:
        fingerprint: of the data set.
        salt: of the clip hashes.
        fold: the held-out fold, 1 to 5, or 0 when unknown.
        training_hashes: salted hashes of the clips trained on.
        selection_hashes: salted hashes of the clips that choices were made on.
        synthetic: whether the data set is this project's own synthetic one.
    """

    fingerprint: str
    salt: str
    fold: int
    training_hashes: tuple[str, ...]
    selection_hashes: tuple[str, ...]
    synthetic: bool = False


class GateRecord(_Record, frozen=True):
    """The accuracy gate on selection windows.

    Attributes:
        verdict: `passed`, `inconclusive` (the interval is wider than the margin), `failed`, or `not run` (no data).
        windows: selection windows it was judged on.
        clips, participants: that they were cut from; 0 in older bundles.
        fp32, final: `<head>/<metric>`, `gap/shift` or `gap/auroc` -> figure before and after.
        change_low, change_high: the change's 95 % interval, clustered over participants.
    """

    verdict: Literal["passed", "inconclusive", "failed", "not run"]
    windows: int = 0
    clips: int = 0
    participants: int = 0
    fp32: dict[str, float] = {}
    final: dict[str, float] = {}
    change_low: dict[str, float] = {}
    change_high: dict[str, float] = {}


class VerificationRecord(_Record, frozen=True):
    """How close the exported parts are to the network they came from.

    Attributes:
        inputs: what they were compared on.
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
        window: the window it was trained on.
        events: how columns 33 to 39 were filled.
        eye_columns: the 39 keys in input order.
        eye_quantiles: column key -> its `QUANTILES` in the training data; empty when unknown.
        face, detector, display, precision, calibration, data, gate, verification: see their classes.
        gap_quantiles: 101 percentiles of the gap among selection clips whose two labels agree; empty when unknown.
        networks: where a bundle holds several; empty for one.
        demo: demo weights, trained on synthetic clips.
        research_only: EMER's agreement covers the data behind it.
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
    display: Display | None = None
    calibration: CalibrationRecord | None = None
    data: DataRecord | None = None
    gap_quantiles: tuple[float, ...] = ()
    networks: tuple[NetworkRecord, ...] = ()
    demo: bool = False
    research_only: bool = False

    def __post_init__(self) -> None:
        unknown = [each.name for each in self.heads if each.name not in HEADS]
        if unknown or not self.heads:
            raise ValueError(f"heads must be among {', '.join(HEADS)}, not {', '.join(unknown) or 'empty'}")
        if len(self.eye_columns) != EYE_COLUMN_COUNT:
            raise ValueError(f"eye_columns must name {EYE_COLUMN_COUNT} columns, not {len(self.eye_columns)}")
        if len(self.face.template_px) != 5:
            raise ValueError(f"face.template_px must hold 5 landmarks, not {len(self.face.template_px)}")
        if self.face.match_brightness and not (self.face.brightness_mean and self.face.brightness_std):
            raise ValueError("face.match_brightness needs face.brightness_mean and face.brightness_std above 0")
        if self.detector.near_px % 32 or self.detector.near_px < 0:
            raise ValueError(f"detector.near_px must be 0 or a multiple of 32, not {self.detector.near_px}")
        if any(not each.temperature > 0 for each in self.heads):
            raise ValueError("temperatures must be above 0")
        given = sorted(name for each in self.networks for name in each.heads)
        if self.networks and given != sorted(self.head_names):
            raise ValueError(f"the networks give {', '.join(given)}, the heads are {', '.join(self.head_names)}")

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the heads in output order."""
        return tuple(each.name for each in self.heads)

    @property
    def all_networks(self) -> tuple[NetworkRecord, ...]:
        """The networks, also where there is but one."""
        return self.networks or (NetworkRecord(heads=self.head_names),)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that these heads can be scored by."""
        return tuple(each.name for each in protocols_of(self.head_names))

    def to_json(self) -> bytes:
        """Encode as indented JSON, the protocols' names included for readers."""
        document = msgspec.to_builtins(self)
        document["protocols"] = list(self.protocols)
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: str = MANIFEST_NAME) -> Manifest:
        """Decode; raise BundleError naming the field that is wrong, or the newer schema."""
        try:
            document: Any = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BundleError(f"{where} is not JSON ({error}); export the bundle again") from None
        if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
            raise BundleError(f"{where} names no schema version; it is not a manifest of emer-edge")
        if document["schema"] > SCHEMA:
            raise BundleError(
                f"{where} has schema {document['schema']}, this emer-edge reads up to {SCHEMA}; upgrade emer-edge"
            )
        if document["schema"] != SCHEMA:
            raise BundleError(f"{where} has schema {document['schema']}, which this emer-edge no longer reads")
        document.pop("protocols", None)
        try:
            return msgspec.convert(document, cls)
        except (msgspec.ValidationError, EmerEdgeError, RecursionError) as error:
            raise BundleError(f"{where} is not a valid manifest: {error}") from None
