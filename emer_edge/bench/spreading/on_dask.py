"""Several machines: the workers of a Dask cluster that runs already (https://distributed.dask.org).

What travels is listed in docs/bench-accuracy.md: names, labels and paths of clips one way, numbers the other; images
stay where they are, which is why every machine has the data set under the same path.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeVar

from emer_edge.bench.spreading.base import AHEAD, Failure, Opening, chunks_of
from emer_edge.bench.spreading.machines import Machine, SharedClips, differences, forget, look, remote_answers
from emer_edge.data.clips import Clip
from emer_edge.errors import WorkerError
from emer_edge.extras import require
from emer_edge.runtime.session import Session

__all__ = ["OnDask"]

Item = TypeVar("Item")
Found = TypeVar("Found")

_PATIENCE_S: Final = 20.0
_LOOK_S: Final = 5.0


class OnDask:
    """Work dealt to the workers of a cluster (see `emer_edge.bench.spreading.base.Spread`).

    The first work connects, and looks at every worker before it deals anything: another version of this tool, another
    bundle, other clips or a missing engine is refused with the machine's name. Workers that come later look at the
    bundle themselves.

    Args:
        address: of the scheduler, `tcp://host:8786` or `tls://host:8786`.
        opening: the bundle.
        clips: that are worked on; every machine must have the same.

    Raises:
        MissingExtraError: Dask is not installed.
    """

    def __init__(self, address: str, opening: Opening, clips: Sequence[Clip]) -> None:
        require("--scheduler", ("distributed",), "distributed")
        self._address = address
        self._opening = opening
        self._clips = clips
        self._client: Any = None
        self._gone = False
        self._notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Machines whose processors or libraries may round the last digits in another way."""
        return self._notes

    def map_ordered(self, work: Callable[[Session, Item], Found], items: Sequence[Item]) -> Iterator[Found]:
        """See `Spread`; what is dealt and not yet taken is never more than `AHEAD` chunks a thread of a worker."""
        chunks = chunks_of(items)
        if self._client is None and chunks:
            self._connect()
        dealt: deque[Any] = deque()
        given = 0
        try:
            for chunk in chunks:
                while len(dealt) >= AHEAD * max(sum(self._threads().values()), 1):
                    yield from self._taken(dealt.popleft())
                    given += 1
                dealt.append(self._client.submit(remote_answers, self._opening, work, chunk, pure=False))
            while dealt:
                yield from self._taken(dealt.popleft())
                given += 1
        finally:
            if dealt and not self._gone:
                with suppress(Exception):  # it may go just now
                    self._client.cancel(list(dealt))

    def close(self) -> None:
        """Free the workers' sessions and disconnect; may be called twice. The cluster goes on."""
        client, self._client = self._client, None
        if client is None:
            return
        if not self._gone:  # nothing that is asked of a lost scheduler ever returns
            with suppress(Exception):
                client.run(forget, self._opening, wait=False)
        client.close(timeout=_LOOK_S)

    def _connect(self) -> None:
        from distributed import Client

        for name in ("distributed", "distributed.client", "distributed.core", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what they say is said below, once
        try:
            self._client = Client(self._address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError, asyncio.TimeoutError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {self._address} ({_first_line(error)}); start one with: dask scheduler, "
                "and on each machine: dask worker tcp://HOST:8786 --nthreads 1 --nworkers auto"
            ) from None
        with suppress(TimeoutError, asyncio.TimeoutError):
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        workers = self._threads()
        if not workers:
            raise WorkerError(
                f"the Dask scheduler at {self._address} has no workers; start them on each machine: "
                f"dask worker {self._address} --nthreads 1 --nworkers auto"
            )
        clips = SharedClips.of(self._clips)
        looks = {
            each: self._client.submit(look, self._opening, clips, workers=[each], allow_other_workers=False, pure=False)
            for each in workers
        }
        self._notes = differences(Machine.here(), {each: self._seen(looks[each]) for each in workers})

    def _seen(self, future: Any) -> Machine | BaseException:
        """What a worker saw, or why it could not look."""
        try:
            found: Machine = self._waited(future)
        except WorkerError as error:
            return error
        return found

    def _threads(self) -> dict[str, int]:
        """Address of each worker -> its threads."""
        try:
            found: dict[str, int] = dict(self._client.nthreads())
        except Exception as error:
            raise self._lost(error) from None
        return found

    def _taken(self, future: Any) -> list[Any]:
        found = self._waited(future)
        future.release()
        if isinstance(found, Failure):
            raise found.raised()
        answers: list[Any] = found
        return answers

    def _waited(self, future: Any) -> Any:
        """The result; an error as well when there is nobody left who could work it out."""
        from distributed import KilledWorker, wait

        alone_since: float | None = None
        while True:
            try:
                with self._client.as_current():
                    wait([future], timeout=_LOOK_S)
                return future.result(timeout=_LOOK_S)  # which its worker still holds, if it lives
            except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
                if self._threads():
                    alone_since = None
                    continue
                alone_since = alone_since or monotonic()
                if monotonic() - alone_since > _PATIENCE_S:
                    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # else it tells of every wait given up
                    raise WorkerError(
                        f"the last worker of the Dask scheduler at {self._address} has gone; start workers again, and "
                        "this command"
                    ) from None
            except KilledWorker as error:
                raise WorkerError(
                    f"the same clips ended one Dask worker after the other, the last at {error.last_worker.address}; "
                    "most likely memory ran out there: start fewer workers a machine"
                ) from None
            except (CancelledError, asyncio.CancelledError, OSError) as error:
                raise self._lost(error) from None
            except Exception as error:  # work's own errors come back as answers
                raise WorkerError(
                    f"a Dask worker failed ({type(error).__name__}: {_first_line(error)}); its own log says more"
                ) from None

    def _lost(self, error: BaseException) -> WorkerError:
        self._gone = True
        return WorkerError(
            f"the Dask scheduler at {self._address} was lost ({_first_line(error)}); start it again, and this command"
        )

    def __enter__(self) -> OnDask:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
