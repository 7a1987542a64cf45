"""Make frozen outputs: `python tests/frozen/make.py NAME...`, or `all`.

Everything is driven through the command line in processes of its own, from seeds; nothing here knows the package's
inside.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from freezing import Precision, freeze
from trees import from_csv, parse

__all__ = ["CASES", "FOLDER", "Case", "Workshop"]

FOLDER: Final = Path(__file__).parent
_INT8: Final = "--no-sensitivity --no-fall-back --exclude dense0[.] --calibration-windows 16 --no-cache"
_QUICK: Final = "--repeats 1 --warmup 0 --starts 0 --min-seconds 0 --min-queries 0 --stream-seconds 0 --draws 1"
_PRODUCTS: Final = {
    "visit": "simulate recording visit --seconds 13.5",
    "clips": "synth clips --participants 5 --clips 5 --frames 8 --workers 1",
    "fp32.emer": "export --precision fp32 --output fp32.emer",
    "int8.emer": f"export --precision int8 --data clips {_INT8} --output int8.emer",
}
_PROGRAM: Final = """import sys
sys.modules |= {"tensorrt": None, "tensorrt_rtx": None}  # an export would build engines to check its parts by
from emer_edge.cli import main
main()
"""
_VISIT: Final = "--camera visit/video.avi --tracker visit/tracker.tsv --offset-ms 0 --pace fast"


@dataclass(frozen=True)
class Workshop:
    """A folder in which the product makes things; several processes may share it.

    Attributes:
        folder: where commands run, so that the paths in their outputs are short and the same everywhere.
    """

    folder: Path

    def need(self, *products: str) -> None:
        """Have the product make what isn't there yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for product in products:
            with (self.folder / f".{product}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (self.folder / product).exists():
                    arguments = _PRODUCTS[product].split()
                    self.need(*(each for each in arguments if each in _PRODUCTS and each != product))
                    self.call(*arguments)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product."""
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *arguments],
            cwd=self.folder, capture_output=True, text=True, encoding="utf-8", env={**os.environ, **cache},
        )  # fmt: skip
        assert done.returncode == 0, f"emer-edge {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
        return done

    def read(self, name: str) -> str:
        """The text of a file in the folder."""
        return (self.folder / name).read_text(encoding="utf-8")


def _run(workshop: Workshop, *arguments: str) -> dict[str, Any]:
    """A run's results, and what it said but for tables of times."""
    done = workshop.call("run", *arguments, "--engine", "onnxruntime", "--json")
    lines = [line.rstrip() for line in done.stderr.splitlines()]
    said = [line for line in lines if line and not set(line) & set("┃│━─") and not line.startswith("latency")]
    return {"said": said, "results": [parse(line) for line in done.stdout.splitlines()]}


def _replay(precision: Precision, workshop: Workshop) -> Any:
    workshop.need("visit", f"{precision}.emer")
    return _run(workshop, f"{precision}.emer", *_VISIT.split())


def _predict(precision: Precision, workshop: Workshop) -> Any:
    workshop.need("clips", f"{precision}.emer")
    output = f"predict-{precision}.csv"
    workshop.call("predict", f"{precision}.emer", "clips", "--engine", "onnxruntime", "--output", output)
    table = from_csv(workshop.read(output))
    return {**table, "rows": [_grouped(row) for row in table["rows"]]}


def _grouped(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the probabilities of each head together, as a result has them: the class it names is the likeliest."""
    heads: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        head, _, label = name.partition("_")
        if label and isinstance(row.get(head), str):
            heads.setdefault(head, {})[label] = value
    assert heads
    for head, probabilities in heads.items():
        assert row[head] == max(probabilities, key=probabilities.__getitem__)
    grouped = {*heads, *(f"{head}_{label}" for head, labels in heads.items() for label in labels)}
    return {**{name: value for name, value in row.items() if name not in grouped}, "heads": heads}


def _bench(workshop: Workshop) -> Any:
    workshop.need("clips", "fp32.emer")
    what = ("--data", "clips", "--engine", "onnxruntime", "--streams", "", "--probes", "none", *_QUICK.split())
    workshop.call("bench", "fp32.emer", *what, "--output", "bench")
    files = sorted(path.name for path in (workshop.folder / "bench").iterdir())
    return {"files": files, "report": parse(workshop.read("bench/report.json"))}


def _bundle(precision: Precision, workshop: Workshop) -> Any:
    workshop.need(f"{precision}.emer")
    folder = workshop.folder / f"{precision}.emer"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "files": [path.relative_to(folder).as_posix() for path in paths],
        "manifest": parse(workshop.read(f"{precision}.emer/manifest.json")),
        "parts": {path.relative_to(folder).as_posix(): _part(path) for path in paths if path.suffix == ".onnx"},
    }


def _part(path: Path) -> dict[str, Any]:
    import onnx

    model = onnx.load(path)
    graph = model.graph
    operations = Counter(node.op_type for node in graph.node)

    def sides(values: Any) -> dict[str, list[Any]]:
        return {
            each.name: [side.dim_param or side.dim_value for side in each.type.tensor_type.shape.dim] for each in values
        }

    return {
        "opsets": {each.domain or "ai.onnx": each.version for each in model.opset_import},
        "inputs": sides(graph.input),
        "outputs": sides(graph.output),
        "initializers": len(graph.initializer),
        "operations": dict(sorted(operations.items())),
    }


def _recording(workshop: Workshop) -> Any:
    """A run that records everything, what lies in the file, its tables, and its replay."""
    workshop.need("visit", "fp32.emer")
    recorded = _run(
        workshop, "fp32.emer", *_VISIT.split(), "--record", "x.mcap", "--record-video", "--consent-id", "c1"
    )
    tables = {}
    for rows in ("results", "samples", "frames", "markers"):
        workshop.call("convert", "x.mcap", f"{rows}.csv", "--rows", rows)
        table = from_csv(workshop.read(f"{rows}.csv"))
        step = 1 if rows == "results" else 40  # enough to see rows move
        tables[rows] = {"columns": table["columns"], "count": len(table["rows"]), "rows": table["rows"][::step]}
    replayed = _run(workshop, "fp32.emer", "--camera", "x.mcap", "--tracker", "x.mcap", "--pace", "fast")
    file = _mcap(workshop.folder / "x.mcap")
    return {"said": recorded["said"], "file": file, "tables": tables, "replayed": replayed}


def _mcap(path: Path) -> dict[str, Any]:
    from mcap.reader import make_reader

    with path.open("rb") as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        counts = summary.statistics.channel_message_counts
        topics = {
            channel.topic: {
                "encoding": channel.message_encoding,
                "schema": parse(summary.schemas[channel.schema_id].data.decode()),
                "messages": counts.get(channel.id, 0),
            }
            for channel in summary.channels.values()
        }
        firsts: dict[str, Any] = {}
        for _, channel, message in reader.iter_messages():
            if channel.topic not in firsts:
                firsts[channel.topic] = parse(message.data.decode())
        metadata = {
            each.name: {key: _json(value) for key, value in each.metadata.items()} for each in reader.iter_metadata()
        }
    return {"topics": topics, "firsts": firsts, "metadata": metadata}


def _json(text: str) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError:
        return text


def _session(workshop: Workshop) -> Any:
    workshop.need("visit", "fp32.emer")
    run = _run(workshop, "fp32.emer", *_VISIT.split(), "--save", "saved", "--participant", "p017", "--session", "s1")
    folder = workshop.folder / "saved"
    results = workshop.read("saved/p017/s1/results.jsonl").splitlines()
    return {
        "said": run["said"],
        "files": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")),
        "session": parse(workshop.read("saved/p017/s1/session.json")),
        "results": [parse(line) for line in results],
        "markers": workshop.read("saved/p017/s1/markers.jsonl"),
    }


@dataclass(frozen=True)
class Case:
    """What is frozen in one file.

    Attributes:
        precision: of the network behind its numbers.
        make: has the product make it, and returns it unmasked.
    """

    precision: Precision
    make: Callable[[Workshop], Any]


CASES: Final[Mapping[str, Case]] = MappingProxyType(
    {
        "replay-fp32": Case("fp32", partial(_replay, "fp32")),
        "replay-int8": Case("int8", partial(_replay, "int8")),
        "predict-fp32": Case("fp32", partial(_predict, "fp32")),
        "predict-int8": Case("int8", partial(_predict, "int8")),
        "bench": Case("fp32", _bench),
        "bundle-fp32": Case("fp32", partial(_bundle, "fp32")),
        "bundle-int8": Case("int8", partial(_bundle, "int8")),
        "recording": Case("fp32", _recording),
        "session": Case("fp32", _session),
    }
)
"""Every frozen file, by its name without `.json`."""


def main() -> None:
    """Make the files that are named on the command line."""
    names = list(CASES) if sys.argv[1:] == ["all"] else sys.argv[1:]
    if not names or not set(names) <= set(CASES):
        sys.exit(f"name what to freeze: all, or some of {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            case = CASES[name]
            (FOLDER / f"{name}.json").write_text(
                freeze(case.make(Workshop(Path(folder))), case.precision), encoding="utf-8"
            )
            print(f"wrote {name}.json")


if __name__ == "__main__":
    main()
