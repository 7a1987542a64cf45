"""The bundle of random weights that the runtime is tested with; making it needs torch, using it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from runtime_inputs import TEMPLATE, WINDOW

from emer_edge.bundle import Bundle, BundleWriter, Manifest
from emer_edge.bundle.guard_file import GUARD_NAME, KnownFaces, write_guard
from emer_edge.bundle.manifest import (
    SCHEMA,
    BundledHead,
    FaceRecord,
    GateRecord,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.bundle.reading_records import GapRecord, GuardRecord
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.window import EVENT_CONSTANTS, NEW_RULE
from emer_edge.export.parts.face_parts import face_encoder, load_detector
from emer_edge.export.parts.fusion import fusion
from emer_edge.model.emert import Emert
from emer_edge.model.separable import packaged_tensors


def make_bundle(path: Path) -> Bundle:
    """The nine-head network with random weights behind the packaged face encoder, FP32, and CenterFace.

    Windows last 2.4 s, a result comes every 0.3 s.
    """
    torch.manual_seed(0)
    model = Emert("nine", face_network="separable").eval()
    model.subnet.f_extractor.load_state_dict(packaged_tensors())
    model.eye_scale.fill_(300.0)
    model.gaze_scale.fill_(300.0)
    detector = load_detector()
    heads = tuple(
        BundledHead(name=each.name, classes=each.classes, temperature=0.05) if isinstance(each, ClassHead)
        else BundledHead(name=each.name)
        for each in HEADS.values()
    )  # fmt: skip
    manifest = Manifest(
        schema=SCHEMA,
        name="random",
        created="2026-01-01T00:00:00Z",
        versions={},
        heads=heads,
        window=WINDOW,
        events=NEW_RULE,
        events_constants=EVENT_CONSTANTS[NEW_RULE],
        eye_columns=COLUMN_KEYS,
        face=FaceRecord(template_px=TEMPLATE),
        detector=detector.record,
        precision=PrecisionRecord(requested="fp32", parts={}),
        gate=GateRecord(verdict="not run"),
        verification=VerificationRecord(inputs="none", largest_error={}),
        files={},
        gap=GapRecord(clips=80, agreeing=tuple(each / 40 for each in range(40)), differ=((0.0, 0.1), (1.0, 0.9))),
        guard=GuardRecord(limits={"cpu/face_encoder": 1.0}, people=5, alarms=0, alarms_left_out=1),
        demo=True,
    )
    with BundleWriter(path) as writer:
        parts = {"face_encoder": face_encoder(model), "fusion": fusion(model), **detector.parts}
        known = KnownFaces(np.zeros(128, np.float32), np.eye(32, 128, dtype=np.float32), np.full(33, 1e3, np.float32))
        writer.add(GUARD_NAME, write_guard({"cpu/face_encoder": known}))
        for name, part in parts.items():
            writer.add(f"cpu/{name}.onnx", part.SerializeToString())
        return writer.commit(manifest)


if __name__ == "__main__":
    make_bundle(Path(sys.argv[1]))
