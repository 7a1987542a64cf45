"""Gaze streams in XDF files of LabRecorder (extra `xdf`), with their clock resets and jitter taken out by pyxdf.

Format: https://github.com/sccn/xdf/wiki/Specifications; the meaning of channels is that of `lsl_channels`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from emer_edge.core.errors import TrackerError
from emer_edge.core.packages import require
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import VALID_PARAMETER, Counters, ValidityCodes
from emer_edge.runtime.trackers.file_checks import check_validity
from emer_edge.runtime.trackers.files import FileTracker, played_samples
from emer_edge.runtime.trackers.gazepoint import CAMERA_PARAMETERS, CameraPlace
from emer_edge.runtime.trackers.lsl_channels import Channel, ChannelReader

SUFFIX: Final = ".xdf"


def read_markers(path: Path) -> dict[str, float]:
    """Texts of the marker streams of an XDF file, and the seconds at which each first came, in the file's own clock.

    Raises:
        TrackerError: the file can't be read.
        MissingExtraError: pyxdf is not installed.
    """
    markers: dict[str, float] = {}
    for stream in _streams(path):
        if _text(stream, "channel_format") == "string":
            for values, time_s in zip(stream["time_series"], stream["time_stamps"], strict=True):
                text = str(values[0]).strip()
                markers[text] = min(markers.get(text, math.inf), float(time_s))
    return markers


def _open(address: Address, options: TrackerOptions) -> FileTracker:
    path, codes = Path(address.path), ValidityCodes.of(address.parameters)
    held = _streams(path)
    streams = [each for each in held if _text(each, "type").lower() == "gaze"]
    if len(streams) != 1:
        names = ", ".join(f"{_text(each, 'name')} ({_text(each, 'type')})" for each in held) or "nothing"
        raise TrackerError(f"{path} holds {len(streams) or 'no'} streams of type Gaze, one is needed; it holds {names}")
    (stream,) = streams
    channels, counters = _channels(stream), Counters()
    reader = ChannelReader(
        channels, options.display, CameraPlace.of(address.parameters), options.say, counters=counters, validity=codes
    )
    if not reader.has_gaze:
        why = "gaze in the picture of a world camera" if reader.worldly else "no channel that names a gaze point"
        labels = ", ".join(channel.label for channel in channels)
        raise TrackerError(f"the stream {_text(stream, 'name')} of {path} has {why} ({labels})")
    times_ns = np.round(np.asarray(stream["time_stamps"], np.float64) * 1e9).astype(np.int64)
    samples: list[TrackerSample] = []
    for values, time_ns in zip(np.asarray(stream["time_series"], np.float64).tolist(), times_ns.tolist(), strict=True):
        sample = reader.read(values, time_ns, time_ns)
        if sample is not None:
            samples.append(sample)
    if not samples:
        raise TrackerError(f"the stream {_text(stream, 'name')} of {path} is empty")
    check_validity(path, codes, samples, options.say)
    return FileTracker(played_samples(path, samples, reader.fields, counters, options=options), options)


def _streams(path: Path) -> Sequence[Mapping[str, Any]]:
    require("reading XDF files", ("pyxdf",), "xdf")
    import pyxdf

    try:
        return tuple(pyxdf.load_xdf(str(path))[0])
    except Exception as error:  # it has no exceptions of its own
        raise TrackerError(f"{path} can't be read as XDF: {error}") from None


def _text(stream: Mapping[str, Any], key: str) -> str:
    return str((stream["info"].get(key) or [""])[0] or "")


def _channels(stream: Mapping[str, Any]) -> list[Channel]:
    """The channels as the stream's metadata describes them; those that it does not are without a label."""
    described = ((stream["info"].get("desc") or [None])[0] or {}).get("channels") or [None]
    nodes = (described[0] or {}).get("channel") or []
    keys = ("label", "eye", "type", "unit", "coordinate_system")
    return [Channel(*(str((node.get(key) or [""])[0] or "") for key in keys)) for node in nodes]


XDF: Final = TrackerDriver(
    name="xdf",
    help="a gaze stream that LabRecorder recorded",
    example="visit.xdf",
    parameters={**CAMERA_PARAMETERS, **VALID_PARAMETER},
    claims=lambda address: address.path.lower().endswith(SUFFIX),
    open=_open,
    check=lambda address, options: _open(address, options).close(),
    live=False,
)
