"""Plans kept in the user's cache: built once a machine, checked before they are ever read by TensorRT.

A plan is machine code. It is loaded only if this user wrote it, nobody else can write it, it has the hash that its
sidecar names, and the sidecar names this machine; anything else is built again from the ONNX part.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec
from platformdirs import user_cache_path

from emer_edge.bundle import Part
from emer_edge.core.ownership import why_not_mine
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import write_private
from emer_edge.runtime.engines.tensorrt.builder import RECIPE, BuildOptions, build_plan
from emer_edge.runtime.engines.tensorrt.toolkit import Machine, difference

_SCHEMA: Final = 1
_LARGEST_SIDECAR: Final = 1 << 20

Say = Callable[[str], None]


def engine_folder() -> Path:
    """Where plans are kept; it need not exist."""
    return user_cache_path("emer-edge") / "engines"


def purge_engines(folder: Path | None = None) -> int:
    """Remove every plan; return the number of files removed.

    Raises:
        OSError: a file can't be removed.
    """
    folder = folder or engine_folder()
    files = [path for path in folder.iterdir() if not path.is_dir()] if folder.is_dir() else []
    for file in files:
        file.unlink()
    return len(files)


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of a plan, in a JSON file beside it.

    Attributes:
        schema: version of this layout.
        part: the part's name.
        part_sha256: hash of its ONNX file.
        options: what changes the plan: batch sizes, compute capability, the builder's recipe.
        machine: where it was built, and for what.
        plan_sha256, plan_bytes: hash and size of the plan.
        seconds: time it took.
        workspace_mb: the cap it was built under.
        created: UTC, ISO 8601.
    """

    schema: int
    part: str
    part_sha256: str
    options: str
    machine: Machine
    plan_sha256: str
    plan_bytes: int
    seconds: float
    workspace_mb: int
    created: str


@dataclass(frozen=True)
class KeptPlan:
    """A plan ready to be deserialised.

    Attributes:
        plan: its bytes.
        sidecar: what is known of it.
        path: its file; None where it could not be kept.
        built: it was built now.
    """

    plan: bytes
    sidecar: Sidecar
    path: Path | None
    built: bool

    def write(self, path: Path) -> None:
        """Write the plan, and its sidecar as JSON beside it; raise OSError where that fails."""
        write_private(path, self.plan)
        sidecar = msgspec.json.format(msgspec.json.encode(self.sidecar), indent=2) + b"\n"
        write_private(path.with_suffix(".json"), sidecar)


class PlanCache:
    """The plans of one machine.

    Args:
        machine: this one.
        folder: where they are kept; the user's cache by default.
        say: reports why a plan is built again.
        timing_cache: where kernel timings are kept; beside the plans by default.
    """

    def __init__(
        self, machine: Machine, folder: Path | None = None, say: Say | None = None, timing_cache: Path | None = None
    ) -> None:
        self.machine = machine
        self.folder = folder or engine_folder()
        self._timing = timing_cache or self.folder / f"timing-{_short(repr(machine))}.cache"
        self._say = say or logging.getLogger("emer_edge").warning

    def get(self, part: Part | Path, options: BuildOptions | None = None, progress: Progress = silent) -> KeptPlan:
        """Return the plan of a part, building it unless a good one is kept.

        Two processes that want the same plan build it once: the second waits for the first.

        Raises:
            ConfigurationError, EngineError: as `build_plan`.
        """
        options, part = options or BuildOptions(), Part.of(part)
        path = self.folder / f"{self._name(part.path.stem, part.sha256, options)}.plan"
        try:
            with self._locked(path.stem):
                return self._get(part, path, options, progress=progress)
        except _NotKeptError as error:
            self._say(f"engines can't be kept in {self.folder} ({error}); building {part.path.stem} for this run alone")
        return new_plan(part, options, self.machine, progress)[0]

    def runtime_cache_path(self, kept: KeptPlan) -> Path | None:
        """Where the kernels that TensorRT-RTX compiles for a plan are kept."""
        return kept.path.with_suffix(".kernels") if kept.path is not None else None

    def _get(self, part: Part, path: Path, options: BuildOptions, *, progress: Progress) -> KeptPlan:
        try:
            plan, sidecar = self._read(path, part.sha256)
            return KeptPlan(plan, sidecar, path, False)
        except FileNotFoundError:
            reason = self._sibling(path, part.path.stem, part.sha256)
        except (_UnfitError, OSError) as error:
            reason = str(error)
        self._say(
            f"building the engine of {part.path.stem} for {self.machine.gpu} with {self.machine.tensorrt}, once; on a "
            f"board this takes minutes{f': {reason}' if reason else ''}"
        )
        new, learnt = new_plan(part, options, self.machine, progress, timing_cache=read_private(self._timing) or b"")
        try:
            if learnt:
                write_private(self._timing, learnt)
            new.write(path)
        except OSError as error:
            self._say(f"the engine of {part.path.stem} can't be kept in {self.folder}: {error}")
            _remove(path, path.with_suffix(".json"))
            return new
        self._drop_outdated(path, part.path.stem, part.sha256)
        return replace(new, path=path)

    def _name(self, part: str, digest: str, options: BuildOptions) -> str:
        here = self.machine
        gpu = (here.gpu, here.module, here.compute_capability, here.multiprocessors)
        key = "|".join((digest, here.tensorrt, *gpu, _options_text(options)))
        return f"{part}-{digest[:16]}-{_short(key)}"

    def _read(self, path: Path, digest: str) -> tuple[bytes, Sidecar]:
        """The kept plan; raise _UnfitError with the reason why it can't be used."""
        sidecar = _read_sidecar(path.with_suffix(".json"))
        if sidecar.part_sha256 != digest:
            raise _UnfitError(f"{path.name} belongs to another part")
        differs = difference(sidecar.machine, self.machine)
        if differs:
            raise _UnfitError(differs)
        plan = _read_checked(path)
        if len(plan) != sidecar.plan_bytes or hashlib.sha256(plan).hexdigest() != sidecar.plan_sha256:
            raise _UnfitError(f"{path.name} is damaged (wrong hash)")
        return plan, sidecar

    def _siblings(self, path: Path, part: str, digest: str) -> Iterator[tuple[Path, Sidecar]]:
        """Plans of the same part for other machines, newest first."""
        sidecars = self.folder.glob(f"{part}-{digest[:16]}-*.json")
        for file in sorted((file for file in sidecars if file.stem != path.stem), key=_modified, reverse=True):
            with contextlib.suppress(OSError, _UnfitError):
                yield file, _read_sidecar(file)

    def _sibling(self, path: Path, part: str, digest: str) -> str:
        siblings = self._siblings(path, part, digest)
        return next(filter(None, (difference(sidecar.machine, self.machine) for _, sidecar in siblings)), "")

    def _drop_outdated(self, path: Path, part: str, digest: str) -> None:
        """Remove what an upgrade of this machine left behind: same GPU, other TensorRT."""
        for file, sidecar in list(self._siblings(path, part, digest)):
            then, now = sidecar.machine, self.machine
            same = all(getattr(then, name) == getattr(now, name) for name in ("gpu", "module", "compute_capability"))
            mode = msgspec.structs.replace(then, multiprocessors=now.multiprocessors)  # another mode's plan stays
            if same and difference(mode, now):
                _remove(file, file.with_suffix(".plan"), file.with_suffix(".kernels"))

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _ensure_private(os.stat(self.folder), "the folder")
            handle = os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except (OSError, _UnfitError) as error:
            raise _NotKeptError(str(error)) from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f"waiting for another process that builds the engine {name}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _options_text(options: BuildOptions) -> str:
    """What of the options changes the plan; the workspace's cap does not, it only bounds the search."""
    batch = f"{options.least}-{options.usual}-{options.most}"
    return f"recipe {RECIPE}, batch {batch}, for {options.compute_capability or 'the GPU here'}"


def new_plan(
    part: Part, options: BuildOptions, machine: Machine, progress: Progress = silent, *, timing_cache: bytes = b""
) -> tuple[KeptPlan, bytes]:
    """Build a part's plan for a machine, kept nowhere; also return what was learnt about kernels (see `build_plan`)."""
    built = build_plan(part, options, progress, timing_cache=timing_cache)
    sidecar = Sidecar(
        schema=_SCHEMA,
        part=part.path.stem,
        part_sha256=part.sha256,
        options=_options_text(options),
        machine=machine,
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        seconds=round(built.seconds, 3),
        workspace_mb=built.workspace_mb,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return KeptPlan(built.plan, sidecar, None, True), built.timing_cache


def read_private(path: Path) -> bytes | None:
    """A file that this user alone can have written, or None."""
    try:
        return _read_checked(path)
    except (OSError, _UnfitError):
        return None


class _UnfitError(Exception):
    """A kept plan can't be used; the message says why."""


class _NotKeptError(Exception):
    """The cache itself can't be used."""


def _remove(*files: Path) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read_sidecar(path: Path) -> Sidecar:
    content = _read_checked(path, _LARGEST_SIDECAR)
    try:
        sidecar = msgspec.json.decode(content, type=Sidecar)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _UnfitError(f"{path.name} can't be read ({error})") from None
    if sidecar.schema != _SCHEMA:
        raise _UnfitError(f"{path.name} has schema {sidecar.schema}, not {_SCHEMA}")
    return sidecar


def _read_checked(path: Path, most: int | None = None) -> bytes:
    """Read a regular file, not a link, that is this user's and that nobody else can write."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _UnfitError(f"{path.name} is not a file")
        _ensure_private(status, path.name)
        if most is not None and status.st_size > most:
            raise _UnfitError(f"{path.name} is larger than it can be")
        return file.read()


def _ensure_private(status: os.stat_result, what: str) -> None:
    if why := why_not_mine(status):
        raise _UnfitError(f"{what} {why}, so it is not trusted")
