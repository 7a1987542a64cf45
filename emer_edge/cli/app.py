"""The Typer application: its commands, its version, and how errors end it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import Annotated, Final

import typer

from emer_edge import __version__
from emer_edge.cli.console import console, say
from emer_edge.cli.messages import with_messages
from emer_edge.cli.shared_options import HelpfulCommand
from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.standard_streams import open_standard_streams, silence

_COMMANDS: Final = (
    "export", "run", "bench", "train", "synth", "dataset", "info", "predict", "report", "prepare", "convert", "build",
    "sign", "verify", "devices", "doctor", "demo", "purge", "simulate",
)  # fmt: skip
"""Modules of this package, each with a function, or an application, of its own name."""


def application(*names: str) -> typer.Typer:
    """The commands of these names, all by default; what a command that is left out would import is not."""
    made = typer.Typer(
        name="emer-edge",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Read a face video and an eye tracker together, on a small device: what the face shows, what the person "
        "feels, and the gap. Three commands are the core: export, run, bench. Start with: emer-edge demo",
    )
    made.callback()(_root)
    for name in names or _COMMANDS:
        command = getattr(import_module(f"emer_edge.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(cls=HelpfulCommand)(with_messages(command))
    return made


def __getattr__(name: str) -> typer.Typer:
    if name == "app":
        return application()
    raise AttributeError(name)


def _version(is_given: bool) -> None:
    if is_given:
        print(f"emer-edge {__version__}")  # noqa: T201  data
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _end(number: int, _: FrameType | None) -> None:
    """End as Ctrl-C does: what is unfinished is removed on the way out, which a second signal does not cut short.

    A library in which it comes may swallow the exit: where nothing is on its way out, an alarm raises it again.
    """
    if number != signal.SIGALRM:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _end)
    signal.alarm(1)
    leaving = sys.exc_info()[1]
    while leaving is not None and not isinstance(leaving, (SystemExit, KeyboardInterrupt)):
        leaving = leaving.__context__
    if leaving is None:
        sys.exit(128 + signal.SIGTERM)


class _Said(logging.Handler):
    """Has warnings of the library said as everything else is: above a live view, in the log, not where all is quiet."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def main() -> None:
    """Run the command line; exit with 2 on a mistake, 1 on a failed gate, 130 on Ctrl-C, 143 on SIGTERM and SIGHUP."""
    open_standard_streams()
    threading.excepthook = lambda died: say(f"the thread {died.thread} has died: {died.exc_value!r}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, _end)
    warnings, said = logging.getLogger("emer_edge"), _Said()
    warnings.addHandler(said)
    try:
        application(*[name for name in sys.argv[1:2] if name in _COMMANDS])()
    except EmerEdgeError as error:
        console.say_error(f"emer-edge: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has gone
        silence(sys.stdout)
        sys.exit(0)
    except OSError as error:  # a disk that is full, read-only or gone, wherever that was noticed
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "a file"
        console.say_error(f"emer-edge: can't read or write {where}: {error.strerror or error}")
        sys.exit(2)
    finally:
        signal.alarm(0)
        warnings.removeHandler(said)
        console.as_at_first()
