"""The examination: the machine first, then a bundle on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emer_edge.bundle import load_bundle
from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.doctor.attached import look_at_devices
from emer_edge.runtime.doctor.board import look_at_board
from emer_edge.runtime.doctor.finding import Finding
from emer_edge.runtime.doctor.machine import look_at_machine
from emer_edge.runtime.doctor.replay import replay_golden
from emer_edge.runtime.doctor.resources import look_at_resources
from emer_edge.runtime.engines import resolve_engine, tensorrt_engine
from emer_edge.spec.progress import Progress, silent

__all__ = ["examine"]


def examine(
    bundle: str | Path | None = None,
    engine: str = "auto",
    threads: int = 1,
    progress: Progress = silent,
    root: Path = Path("/"),
) -> Iterator[Finding]:
    """Look at this machine and, where one is given, at a bundle on it; nothing is changed.

    A bundle's files are checked against their hashes, and its golden inputs are replayed through every part in the
    engine at hand.

    Args:
        bundle: a bundle's folder.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        progress: told while engines are built, which TensorRT needs once a machine.
        root: where the machine's `dev`, `etc`, `proc`, `sys` and `var` lie.

    Yields:
        Findings as they are made; what can't be examined is itself a finding.

    Raises:
        ConfigurationError: no engine has that name.
    """
    name = resolve_engine(engine)
    yield from look_at_machine(root)
    yield from look_at_board(root)
    yield from look_at_devices(root)
    yield from look_at_resources(root, builds=name == tensorrt_engine.NAME)
    if bundle is None:
        return
    try:
        opened = load_bundle(bundle)
    except EmerEdgeError as error:
        yield Finding("bundle", "problem", str(error), "copy or export the bundle again")
        return
    manifest = opened.manifest
    size_mb = sum(each.bytes for each in manifest.files.values()) / 1e6
    yield Finding("bundle", "ok", f"{opened.path}: {len(manifest.files)} files of {size_mb:.0f} MB as exported")
    if manifest.gate.verdict != "passed":
        yield Finding(
            "accuracy gate",
            "warning",
            f"{manifest.gate.verdict} when it was exported; see {opened.path}/report.html",
            f"emer-edge bench {opened.path} --data FOLDER",
        )
    else:
        yield Finding("accuracy gate", "ok", f"passed on {manifest.gate.windows} windows when it was exported")
    yield from replay_golden(opened, name, threads, progress)
