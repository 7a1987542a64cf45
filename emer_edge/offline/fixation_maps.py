"""Fixation maps of clips and recordings, as PNG files and one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final

from emer_edge.bundle import Manifest
from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.samples import Display
from emer_edge.core.whole_file import Target
from emer_edge.data.dataset import SkippedClip, UsableClips
from emer_edge.data.layout import find_layout
from emer_edge.data.recordings import is_recording, open_recording
from emer_edge.data.sheets import EyeTrack
from emer_edge.report import write_all
from emer_edge.report.heat_map import heat_map_png, heat_map_svg
from emer_edge.signals.fixations import find_fixations, fixation_map, viewing_distance_mm

INDEX_FILE: Final = "index.html"


def write_fixation_maps(
    paths: Sequence[Path],
    folder: Path,
    manifest: Manifest,
    progress: Progress = silent,
    force: bool = False,
    *,
    sheet_rate_hz: float = 0.0,
) -> tuple[int, tuple[SkippedClip, ...]]:
    """Write `<name>.png` for every clip of data sets and for every recording, and `index.html` with all of them.

    Fixations are those of the bundle's `events`: by the causal rule, or from the sheets' own columns. The display is
    the recording's own, else the bundle's training display.

    Args:
        paths: folders of EMER data sets or recordings.
        folder: output.
        manifest: of the bundle.
        progress: called for each map.
        force: replace files of the same names.
        sheet_rate_hz: rows a second of sheets that tell no times.

    Returns:
        Number of maps, and the clips without one.

    Raises:
        DataError: a path is neither, or two clips have the same name.
        OutputExistsError: a file of such a name is there, and not `force`.
        ConfigurationError: the folder can't be written to.
    """
    index = Target.of(folder / INDEX_FILE, force)
    usual = manifest.display or Display()
    skipped: list[SkippedClip] = []
    drawings: dict[str, str] = {}

    def pages() -> Iterator[tuple[Target, str | bytes]]:
        tracks = (_tracks(path, usual, manifest, skipped, sheet_rate_hz=sheet_rate_hz) for path in paths)
        for name, track, display in chain.from_iterable(tracks):
            if name in drawings:
                raise DataError(f"two clips are called {name}; write their maps to folders of their own")
            fixations = find_fixations(track.rows, track.times_ns, track.seen, manifest.events)
            distance_mm = viewing_distance_mm(track.rows, track.seen)
            values = fixation_map(fixations, display, distance_mm)
            yield Target.of(folder / f"{name}.png", force), heat_map_png(values)
            total_s = float(fixations.durations_ms.sum()) * 1e-3
            caption = f"{len(fixations)} fixations, {total_s:.1f} s, eyes {distance_mm:.0f} mm from the display"
            drawings[name] = heat_map_svg(values, f"{name}: {caption}", caption)
            progress("drawing fixation maps", len(drawings), 0)
        yield index, _page(drawings)

    write_all(pages())
    return len(drawings), tuple(skipped)


def _tracks(
    path: Path, usual: Display, manifest: Manifest, skipped: list[SkippedClip], *, sheet_rate_hz: float
) -> Iterator[tuple[str, EyeTrack, Display]]:
    if is_recording(path):
        recording = open_recording(path)
        export = recording.export()
        track = EyeTrack(export.rows, export.times_ns, export.seen, timed=True)
        yield recording.name, track, recording.display or export.display or usual
        return
    usable = UsableClips.of(find_layout(path), manifest.window, sheet_rate_hz=sheet_rate_hz)
    skipped += usable.skipped
    for clip in usable.clips:
        track = clip.eye()
        yield clip.name, replace(track, times_ns=track.times_in(manifest.window.length_ns)), usual


def _page(drawings: dict[str, str]) -> str:
    figures = "".join(f"<figure>{drawing}</figure>" for drawing in drawings.values())
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Fixation maps</title>'
        "<style>body{font:14px system-ui,sans-serif;margin:24px}figure{display:inline-block;width:600px;margin:8px}"
        "svg{width:100%}</style>"
        "<h1>Fixation maps</h1><p>Every fixation is a Gaussian of one degree of visual angle, weighted by its length; "
        "each map has its own colour scale, seconds of looking per square degree. The network takes gaze points, not "
        f"these maps.</p>{figures}</html>"
    )
