"""What is opened, iterated, stopped and closed: a pipeline of one person, or of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from emer_edge.spec.results import Result

__all__ = ["Running"]

_Running = TypeVar("_Running", bound="Running")


class Running(ABC):
    """An iterator of results and a context manager; whatever fails closes it first."""

    _results: Iterator[Result] | None = None

    @abstractmethod
    def _begin(self) -> Iterator[Result]:
        """Load the bundle, open all sources, start; return the results to come."""

    @abstractmethod
    def close(self) -> None:
        """Stop, close all sources and free the engines; may be called twice."""

    def open(self: _Running) -> _Running:
        """Load the bundle, open all sources, start; entering the context does this."""
        if self._results is None:
            try:
                self._results = self._begin()
            except BaseException:
                self.close()
                raise
        return self

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        self.open()
        assert self._results is not None
        try:
            return next(self._results)
        except BaseException:
            self.close()
            raise

    def __enter__(self: _Running) -> _Running:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
