"""Write the tables of the documentation that come from the code and from results: `python docs/make_tables.py`.

README.md: what benchmarks/results/eyes_used.json says; docs/hardware.md: the registries beside docs/tried.toml;
docs/onnx.md: the parts of a bundle (the demo bundle, or `python docs/make_tables.py NAME.emer`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tables import put_table  # noqa: E402
from emer_edge.bundle import CPU, Bundle  # noqa: E402
from emer_edge.report.table import Table  # noqa: E402
from emer_edge.runtime.cameras.registry import CAMERAS  # noqa: E402
from emer_edge.runtime.drivers import Driver, Kind  # noqa: E402
from emer_edge.runtime.trackers.formats import FORMATS  # noqa: E402
from emer_edge.runtime.trackers.registry import TRACKERS  # noqa: E402

EYES = ROOT / "benchmarks/results/eyes_used.json"
TRIED = ROOT / "docs/tried.toml"
_ADDRESS = re.compile(r"(\S*(?:://|/dev/)[^\s,]*|(?<!\S)0(?!\S)|\w+\.(?:mcap|xdf|tsv|xlsx|csv|mp4))")
KINDS: Mapping[str, tuple[str, Iterable[Kind]]] = {
    "trackers": ("Eye trackers", TRACKERS),
    "formats": ("Formats of serial trackers", FORMATS),
    "cameras": ("Cameras", CAMERAS),
}


def eyes_table(path: Path = EYES) -> Table:
    """What a network loses when its eyes or its face come from another clip, points of WAR on held-out clips."""
    figures = json.loads(path.read_text())["figures"]
    lost = {each["name"]: each["heads"] for each in figures["ablations"]}
    rows = [("both streams, as recorded", *(f"{figures['whole'][head]:.1f} %" for head in ("er-7", "fer-7")))]
    for words, name in (
        ("eyes of another clip, of the same film and the same shown emotion", "eyes of same film and face"),
        ("anyone's eyes", "anyone's eyes"),
        ("anyone's face", "anyone's faces"),
    ):
        changes = [100 * lost[name][head]["war"]["change"]["value"] for head in ("er-7", "fer-7")]
        rows.append((words, *(f"{change:+.1f} points".replace("-", "−") for change in changes)))
    note = (
        f"Accuracy on {figures['clips']} held-out **synthetic** clips, and what it loses "
        "([`eyes_used`](benchmarks/results/eyes_used.json)). It says that the eyes are used, and nothing about people."
    )
    return Table.of("Does the network use the eyes?", "clips | ER-7 (felt) | FER-7 (shown)", rows, note)


def hardware_table(kinds: str) -> Table:
    """One row per entry of a registry and what stands behind it; KeyError for an entry that `tried.toml` lacks."""
    title, registry = KINDS[kinds]
    tried = tomllib.loads(TRIED.read_text("utf-8"))[kinds]
    rows = []
    for kind in registry:
        said = tried[kind.name]
        example = _ADDRESS.sub(r"`\1`", kind.example) if isinstance(kind, Driver) else f"`format={kind.name}`"
        cells = (said["device"] or "no", said["recording"] or "no", said["source"], said["tests"])
        rows.append((kind.name, example, kind.help, *cells))
    header = "name | source | what it is | device tried | another party's recording tried | written from | tested with"
    return Table.of(title, header, rows)


def onnx_table(bundle: Bundle) -> Table:
    """Inputs and outputs of a bundle's parts for CPUs, as ONNX Runtime reads them."""
    import onnxruntime

    rows = []
    for name in bundle.parts(CPU):
        session = onnxruntime.InferenceSession(bundle.part(CPU, name).content)
        for direction, tensors in (("in", session.get_inputs()), ("out", session.get_outputs())):
            rows += [(f"`{name}`", direction, f"`{each.name}`", _shape(each.shape)) for each in tensors]
    return Table.of("Parts of a bundle", "part | in or out | tensor | shape", rows)


def _shape(sizes: Iterable[object]) -> str:
    return "(" + ", ".join(str(size) if isinstance(size, int) else "N" for size in sizes) + ")"


def main() -> None:
    """Write them all."""
    from emer_edge.demo import open_bundle

    put_table(ROOT / "README.md", "eyes", eyes_table())
    for name in KINDS:
        put_table(ROOT / "docs/hardware.md", name, hardware_table(name))
    put_table(
        ROOT / "docs/onnx.md", "onnx", onnx_table(open_bundle(Path(sys.argv[1]) if sys.argv[1:] else None, say=print))
    )


if __name__ == "__main__":
    main()
