"""All errors of emer-edge, in one tree.

A message says what happened, where, and what to do next. The command line prints it on one line, without a traceback,
and exits with `exit_code`.
"""

from __future__ import annotations

import copyreg
from typing import Any

from emer_edge.core.public_text import public


def install_line(extras: str) -> str:
    """How to install extras, given as `mcap` or `export,synth`: emer-edge is on no package index."""
    return f"pip install '.[{extras}]' in a checkout of emer-edge"


class EmerEdgeError(Exception):
    """Base of all errors that emer-edge raises on purpose."""

    exit_code = 2

    def __str__(self) -> str:
        """The message, printable and without secrets."""
        return public(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the message, also where an error builds it itself."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigurationError(EmerEdgeError):
    """An argument or a combination of arguments makes no sense."""


class MissingExtraError(EmerEdgeError):
    """A feature needs a package that this installation lacks."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs {package}, which this installation lacks; {install_line(extra)} brings it")


class CheckpointError(EmerEdgeError):
    """A checkpoint is missing, corrupt, or belongs to another network."""


class DataError(EmerEdgeError):
    """A data set, an eye sheet, a label file or a recording can't be used."""


class BundleError(EmerEdgeError):
    """A bundle is incomplete, changed, from a newer schema, or unsafe to open."""


class EngineError(EmerEdgeError):
    """An inference engine is unavailable or refuses a part."""


class CameraError(EmerEdgeError):
    """A camera or a video can't be opened or read."""


class TrackerError(EmerEdgeError):
    """An eye tracker can't be opened, read, or understood."""


class WorkerError(EmerEdgeError):
    """A worker process or machine ended, or can't be used."""


class OutputExistsError(EmerEdgeError):
    """The output exists already, or has become something that may not be replaced."""

    def __init__(
        self, path: object, why: str = "exists already; choose another name, or pass --force to replace it"
    ) -> None:
        super().__init__(f"{path} {why}")


class StoppedError(EmerEdgeError):
    """Work that a signal ended before it gave anything; `number` is the signal's, SIGINT by default."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.exit_code = 128 + (number or 2)


class GateError(EmerEdgeError):
    """A quantised bundle loses more accuracy than the gate allows."""

    exit_code = 1
