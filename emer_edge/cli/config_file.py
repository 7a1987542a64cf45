"""A command's options from a TOML file: the keys are the flags without their dashes, `offset-ms` for `--offset-ms`.

What a key may hold is read off the command's own signature, so that file and command line can't drift apart. The values
become the command's defaults, so that flags on the command line win.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import typer

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.text import decode_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST: Final = 1e13
"""No number of an option is larger."""

STREAM_TABLES: Final = "emer_edge.streams"
"""Where a command's context keeps its `[[stream]]` tables."""

_STREAM: Final = "stream"
_ONLY_TYPED: Final = ("config", "check")  # options about the file itself
_KINDS: Final = {str: "a text in quotes", int: "a whole number", float: "a number", Path: "a text in quotes"}


@dataclass(frozen=True)
class Setting:
    """What one key may hold.

    Attributes:
        key, name: in the file, and of the command's parameter.
        kind: str, int, float, bool or Path.
        choices: the texts that are allowed; empty where any is.
        many: whether it holds an array, as an option that may be repeated.
        least, most: bounds of a number, None without one.
    """

    key: str
    name: str
    kind: type
    choices: tuple[str, ...] = ()
    many: bool = False
    least: float | None = None
    most: float | None = None

    def problem(self, value: object) -> str | None:
        """Why a value from a file can't be used, None where it can."""
        if not self.many:
            return self._problem(value)
        if not isinstance(value, list):
            example = "1, 2" if self.kind in (int, float) else '"one", "two"'
            return f"is an array, as in [{example}], not {_shown(value)}"
        return next(filter(None, map(self._problem, value)), None)

    def _problem(self, value: object) -> str | None:
        if self.choices:
            if value in self.choices:
                return None
            return f"is one of {', '.join(self.choices)}, not {_shown(value)}{did_you_mean(str(value), self.choices)}"
        if self.kind is bool:
            return None if isinstance(value, bool) else f"is true or false, not {_shown(value)}"
        accepted = {int: (int,), float: (int, float), str: (str, int)}.get(self.kind, (str,))
        if isinstance(value, bool) or not isinstance(value, accepted):
            return f"is {_KINDS[self.kind]}, not {_shown(value)}"
        if isinstance(value, (int, float)):
            if self.least is not None and not value >= self.least:
                return f"is at least {self.least:g}, not {_shown(value)}"
            if self.most is not None and not value <= self.most:
                return f"is at most {self.most:g}, not {_shown(value)}"
            if self.kind is not str and not abs(value) <= LARGEST:
                return f"is a number up to {LARGEST:g}, not {_shown(value)}"
        return None

    def read(self, value: Any) -> Any:
        """A value from a file as the command takes it: a number where a text is asked for, such as a port, as text."""
        if self.many:
            return [str(one) if self.kind is str else one for one in value]
        return str(value) if self.kind is str else value


def settings(command: Callable[..., Any]) -> dict[str, Setting]:
    """Key -> what it may hold, for every option and argument of a Typer command, in the order of its signature.

    Raises:
        TypeError: a parameter has a type without a TOML value.
    """
    # not get_type_hints: on Python 3.10 it wraps what is None by default into an Optional of its own
    parameters = inspect.signature(command, eval_str=True).parameters
    read = [
        _setting(name, parameter.annotation)
        for name, parameter in parameters.items()
        if name not in _ONLY_TYPED and parameter.annotation is not typer.Context
    ]
    return {setting.key: setting for setting in read}


TableReader = Callable[[object, Mapping[str, object], Mapping[str, Setting]], tuple[list[dict[str, Any]], list[str]]]
"""Reads `[[stream]]` tables: `emer_edge.cli.stream_tables.read_tables`."""


def read_config(
    path: Path, command: Callable[..., Any], tables: TableReader | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a file into parameter -> value, ready to be a command's defaults.

    Args:
        path: a TOML file.
        command: as for `settings`.
        tables: reads `[[stream]]` tables; None where the command has none.

    Returns:
        The defaults, and parameter -> value of every `[[stream]]` table.

    Raises:
        ConfigurationError: no such file, no TOML, unknown keys, values of another type or out of range; the message
            names the file and every such key.
    """
    try:
        document = tomllib.loads(decode_text(path.read_bytes(), path, guess=False).text)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no configuration {path}; deploy/run.toml is an example") from None
    except OSError as error:
        raise ConfigurationError(f"can't read the configuration {path}: {error.strerror}") from None
    except DataError as error:
        raise ConfigurationError(str(error)) from None
    except (ValueError, RecursionError) as error:  # of TOML, numbers without end, tables in tables in tables
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    known = settings(command)
    problems = []
    streams: list[dict[str, Any]] = []
    for key, value in document.items():
        if key == _STREAM and tables is not None:
            streams, wrong = tables(value, document, known)
            problems += wrong
        elif key not in known:
            problems.append(_unknown(key, value, known))
        elif (problem := known[key].problem(value)) is not None:
            problems.append(f"{key} {problem}")
    if problems:
        raise ConfigurationError(f"{path}: {'; '.join(problems)}")
    return {known[key].name: known[key].read(value) for key, value in document.items() if key in known}, streams


def _setting(name: str, hint: Any) -> Setting:
    annotated, *more = get_args(hint) if get_origin(hint) is not None and hasattr(hint, "__metadata__") else (hint,)
    info = next((extra for extra in more if hasattr(extra, "param_decls")), None)
    # Typer's first positional argument is `default`, which inside Annotated[...] is a flag's name
    names = () if info is None else (info.default, *(info.param_decls or ()))
    flags = [flag for flag in names if isinstance(flag, str) and flag.startswith("--")]
    key = flags[0].partition("/")[0].removeprefix("--") if flags else name.replace("_", "-")
    kind, many = _without_none(annotated, name), False
    if get_origin(kind) in (list, tuple):
        kind, many = _without_none(get_args(kind)[0], name), True
    choices: tuple[str, ...] = ()
    if get_origin(kind) is Literal:
        kind, choices = str, get_args(kind)
    if kind not in (str, int, float, bool, Path):
        raise TypeError(f"{name}: no TOML value stands for {kind}")
    least, most = getattr(info, "min", None), getattr(info, "max", None)
    return Setting(key, name, kind, choices=choices, many=many, least=least, most=most)


def _without_none(hint: Any, name: str) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    rest = [part for part in get_args(hint) if part is not NoneType]
    if len(rest) != 1:
        raise TypeError(f"{name}: no TOML value stands for {hint}")
    return rest[0]


def _unknown(key: str, value: object, known: Mapping[str, Setting]) -> str:
    if key in _ONLY_TYPED:
        return f"{key} belongs on the command line, as --{key}"
    if isinstance(value, dict):
        return f"[{key}]: all keys belong at the top, without tables"
    return f"{key} is no option of this command{did_you_mean(key, known)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that is most like a name, as ` (did you mean NAME?)`; empty where none is."""
    close = get_close_matches(name.replace("_", "-").lower(), list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def take_config(
    context: typer.Context, path: Path | None, command: Callable[..., Any], tables: TableReader | None = None
) -> Path | None:
    """Make a file's values the defaults of the command that is being parsed; for the callback of an eager option.

    Its `[[stream]]` tables are kept in the context's `meta`, under `STREAM_TABLES`.
    """
    if path is not None:
        defaults, streams = read_config(path, command, tables)
        context.default_map = {**(context.default_map or {}), **defaults}
        context.meta[STREAM_TABLES] = streams
    return path
