"""The options about messages, `--verbose`, `--quiet` and `--log-file`, which every command has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from emer_edge.cli.console import console
from emer_edge.cli.shared_options import panel

_messages = panel("Messages")


def _option(flag: str, kind: Any, text: str, use: Callable[[Any], None]) -> Any:
    """An option that acts when it is read, before the command begins."""

    def given(value: Any) -> Any:
        if value:
            use(value)
        return value

    return Annotated[kind, _messages(text, flag, is_eager=True, callback=given)]


_OPTIONS: Final[dict[str, tuple[Any, Any]]] = {
    "verbose": (
        _option(
            "--verbose",
            bool,
            "Say when each message came, the versions in use, and where in the code an error arose.",
            lambda _: console.tell_more(),
        ),
        False,
    ),
    "quiet": (
        _option(
            "--quiet",
            bool,
            "Say errors alone. Data on stdout, files and exit codes are the same.",
            lambda _: console.tell_errors_alone(),
        ),
        False,
    ),
    "log_file": (
        _option(
            "--log-file",
            Path | None,
            "Append every message and table to this file, too, with its time (UTC).",
            console.log_to,
        ),
        None,
    ),
}


def with_messages(act: Callable[..., None]) -> Callable[..., None]:
    """A command with these options added; they act while the command line is read, before the command begins."""

    @functools.wraps(act)
    def told(*given: Any, **options: Any) -> None:
        act(*given, **{name: value for name, value in options.items() if name not in _OPTIONS})

    own = inspect.signature(act, eval_str=True)  # get_type_hints of Python 3.10 hides what lies before `= None`
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]
    told.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    hints = {name: each.annotation for name, each in own.parameters.items()}
    told.__annotations__ = {**hints, **{name: kind for name, (kind, _) in _OPTIONS.items()}}
    return told
