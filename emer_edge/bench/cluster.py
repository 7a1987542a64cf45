"""Work on clips by the workers of a Dask cluster, after a look at their machines.

What travels is listed in docs/bench-accuracy.md: names, labels and paths of clips one way, numbers the other; images
stay where they are, which is why every machine has the data set under the same path.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from emer_edge import __version__
from emer_edge.bench.bench_options import WorkerOptions
from emer_edge.bench.latency.machine_state import describe
from emer_edge.core.errors import EmerEdgeError, WorkerError
from emer_edge.data.dataset import Clip, clip_hash
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import ByExecutor, Opening, Spread, forget, held_session, spread_over, using

_COMPUTES: Final = ("numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt")
_PATIENCE_S: Final = 20.0


def spread_clips(
    session: Session, clips: Sequence[Clip], options: WorkerOptions, patience_s: float = _PATIENCE_S
) -> AbstractContextManager[Spread]:
    """Spread work on clips by the bundle of a session; what the work started ends with the context.

    Args:
        session: of the bundle.
        clips: that are worked on; every machine of a cluster must have the same.
        options: who works.
        patience_s: how long a cluster may be without a scheduler that answers, or without workers.
    """
    if options.scheduler is None:
        return spread_over(session, options.workers)
    return closing(_OnCluster(session, clips, options.scheduler, patience_s))


class _OnCluster(ByExecutor):
    """The workers of a running Dask cluster (https://distributed.dask.org), by its own executor.

    Before anything is dealt, every worker checks that it has the same version, bundle and clips, and an engine; workers
    that come later check the bundle themselves. One that is lost is replaced by the others.
    """

    def __init__(self, session: Session, clips: Sequence[Clip], address: str, patience_s: float) -> None:
        super().__init__(session)
        self.patience_s = patience_s
        self._address = address
        self._clips = clips
        self._client: Any = None
        self._alone_since: float | None = None

    def start(self, items: int) -> Executor:
        from distributed import Client

        for name in ("distributed", "distributed.client", "distributed.core", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # their messages are given below, once
        try:
            self._client = Client(self._address, timeout=self.patience_s, set_as_default=False)
        except (OSError, ValueError, TimeoutError, asyncio.TimeoutError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {self._address} ({_first_line(error)}); start one with: dask scheduler, "
                "and on each machine: dask worker tcp://HOST:8786 --nthreads 1 --nworkers auto"
            ) from None
        with suppress(TimeoutError, asyncio.TimeoutError):
            self._client.wait_for_workers(1, timeout=self.patience_s)
        addresses = list(self._threads())
        if not addresses:
            raise WorkerError(
                f"the Dask scheduler at {self._address} has no workers; start them on each machine: "
                f"dask worker {self._address} --nthreads 1 --nworkers auto"
            )
        looks = {
            address: self._client.get_executor(workers=[address], allow_other_workers=False, pure=False).submit(
                look, self.opening, marked(self._clips)
            )
            for address in addresses
        }
        machines = {address: future.exception() or future.result() for address, future in looks.items()}
        self.notes = differences(Machine.here(), machines)
        executor: Executor = self._client.get_executor(pure=False)
        return executor

    def workers(self) -> int:
        return max(sum(self._threads().values()), 1)

    def _threads(self) -> dict[str, int]:
        """Address of each worker -> its threads."""
        try:
            threads: dict[str, int] = dict(self._client.nthreads())
        except Exception as error:
            raise self._lost(error) from None
        return threads

    def look_around(self) -> None:
        now = monotonic()
        self._alone_since = None if self._threads() else self._alone_since or now
        if self._alone_since is not None and now - self._alone_since > self.patience_s:
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # else it reports every abandoned wait
            raise WorkerError(
                f"the last worker of the Dask scheduler at {self._address} has gone; start workers again, and this "
                "command"
            )

    def to_raise(self, error: Exception) -> Exception:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return WorkerError(
                f"the same clips ended one Dask worker after the other, the last at {error.last_worker.address}; most "
                "likely memory ran out there: start fewer workers a machine"
            )
        return self._lost(error) if isinstance(error, (CancelledError, OSError)) else super().to_raise(error)

    def _lost(self, error: Exception) -> WorkerError:
        self.executor = None  # no call to a lost scheduler ever returns
        return WorkerError(
            f"the Dask scheduler at {self._address} was lost ({_first_line(error)}); start it again, and this command"
        )

    def close(self) -> None:
        """Free the workers' sessions and disconnect; the cluster goes on."""
        client, self._client = self._client, None
        if client is None:
            return
        if self.executor is not None:
            with suppress(Exception):
                client.run(forget, wait=False)
        client.close(timeout=self.patience_s / 4)


@dataclass(frozen=True)
class Machine:
    """A machine, as far as it matters to the figures.

    Attributes:
        host: its name.
        version: of this tool.
        computes: its processor and the libraries that compute, for people.
        wrong: why it can't take part; None when it can.
    """

    host: str
    version: str
    computes: str
    wrong: str | None = None

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        machine = describe()
        libraries = ", ".join(f"{name} {machine.versions[name]}" for name in _COMPUTES if name in machine.versions)
        return cls(socket.gethostname(), __version__, f"{machine.cpu or machine.machine}, {libraries}")


def marked(clips: Sequence[Clip]) -> list[tuple[Clip, str]]:
    """Clips and what identifies them: the size of the sheet and a hash of the first, middle and last frame.

    Raises:
        DataError, OSError: one can't be read.
    """
    bare = [replace(clip) for clip in clips]  # without what was read of them so far
    return [(clip, f"{clip.sheet_path.stat().st_size} {clip_hash('', replace(clip))}") for clip in bare]


def look(opening: Opening, clips: Sequence[tuple[Clip, str]]) -> Machine:
    """Check that this machine has the bundle, its engine and the marked clips; opens the bundle."""
    machine = Machine.here()
    different = []
    try:
        with using:
            held_session(opening)
    except EmerEdgeError as error:
        return replace(machine, wrong=str(error))
    for clip, mark in clips:
        try:
            if marked([clip])[0][1] != mark:
                different.append(f"holds another clip {clip.name} in {clip.frames_path} or {clip.sheet_path}")
        except (EmerEdgeError, OSError) as error:
            different.append(f"can't read clip {clip.name}: {error}")
    more = f", and {len(different) - 1} more" if len(different) > 1 else ""
    return replace(machine, wrong=f"{different[0]}{more}" if different else None)


def differences(here: Machine, machines: Mapping[str, Machine | BaseException]) -> tuple[str, ...]:
    """Compare the machines with this one.

    Args:
        here: the machine that compares.
        machines: address -> what `look` gave there, or what it raised.

    Returns:
        A note where others compute with another processor or other libraries.

    Raises:
        WorkerError: a machine can't take part.
    """
    wrong = []
    others: dict[str, list[str]] = {}
    for address, machine in sorted(machines.items()):
        if isinstance(machine, BaseException):
            wrong.append(f"{address}: {machine}; is emer-edge installed there?")
        elif machine.version != here.version:
            wrong.append(f"{machine.host} ({address}) has emer-edge {machine.version}, this machine {here.version}")
        elif machine.wrong is not None:
            wrong.append(f"{machine.host} ({address}): {machine.wrong}")
        elif machine.computes != here.computes:
            others.setdefault(machine.computes, []).append(machine.host)
    if wrong:
        raise WorkerError(
            f"{len(wrong)} of {len(machines)} Dask workers can't take part; {'; '.join(wrong)}. Every machine needs "
            "this version, and the bundle and the data set under the same paths as here (a shared folder will do)"
        )
    return tuple(
        f"clips were scored on {', '.join(sorted(set(hosts)))} ({computes}) too, this machine is {here.computes}: the "
        "last digits may differ from a run on one of them"
        for computes, hosts in others.items()
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
