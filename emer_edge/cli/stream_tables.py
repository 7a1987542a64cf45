"""The `[[stream]]` tables of a run's configuration: several people, a camera and a tracker each.

A table's keys are a name and those options of the command that belong to one person. What a table leaves out comes from
the top of the file or from the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import typer

from emer_edge.cli.config_file import STREAM_TABLES, Setting, did_you_mean
from emer_edge.core.errors import ConfigurationError, EmerEdgeError
from emer_edge.runtime.options import Source, check_sources

_NEEDED: Final = ("name", "camera")
_SOURCE_KEYS: Final = ("camera", "tracker", "offset-ms", "display", "stimulus-rect", "subject", "detect-every")
_PERSON_KEYS: Final = ("participant", "consent-id")
STREAM_KEYS: Final = (*_SOURCE_KEYS, *_PERSON_KEYS)
"""Options of `run` that a table may hold, beside `name`."""


def read_tables(
    tables: object, top: Mapping[str, object], known: Mapping[str, Setting]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the tables of a file.

    Args:
        tables: the value of its key `stream`.
        top: all that the file says.
        known: what the command's keys may hold.

    Returns:
        Parameter -> value of every table, and all problems.
    """
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        return [], ["streams are tables, each under its own [[stream]]"]
    allowed = {"name": Setting("name", "name", str)} | {key: known[key] for key in STREAM_KEYS}
    problems = [f"{key} belongs into every [[stream]], not beside them" for key in ("camera", "tracker") if key in top]
    for number, table in enumerate(tables, start=1):
        name = table.get("name")
        title = f"{number} ({name})" if isinstance(name, str) and name else str(number)
        problems += [f"[[stream]] {title}: {problem}" for problem in _problems(table, allowed)]
    read = [{allowed[key].name: allowed[key].read(table[key]) for key in table if key in allowed} for table in tables]
    return read, problems


def stream_sources(context: typer.Context, for_all: Source) -> list[Source]:
    """The people whom the configuration of a run names; none without tables.

    Args:
        context: of the command.
        for_all: defaults of what the tables leave out.

    Raises:
        ConfigurationError: a table's values can't be read, or `--camera` or `--tracker` was given, too.
    """
    tables: Sequence[dict[str, Any]] = context.meta.get(STREAM_TABLES, ())
    if not tables:
        return []
    for name in ("camera", "tracker"):
        origin = context.get_parameter_source(name)
        if origin is not None and origin.name == "COMMANDLINE":
            raise ConfigurationError(
                f"--{name} is one person's; this configuration has [[stream]] tables, each with one"
            )
    sources = [_source(for_all, table) for table in tables]
    check_sources(sources)
    return sources


def _source(for_all: Source, table: Mapping[str, Any]) -> Source:
    from emer_edge.core.samples import Display, StimulusRect

    given = dict(table)
    faces = {key: given.pop(key) for key in ("subject", "detect_every") if key in given}
    try:
        if "display" in given:
            given["display"] = Display.parse(given["display"]) if given["display"] else None
        if "stimulus_rect" in given:
            text = given.pop("stimulus_rect")
            given["stimulus"] = StimulusRect.parse(text) if text else None
        return replace(for_all, faces=replace(for_all.faces, **faces), **given)
    except EmerEdgeError as error:
        raise ConfigurationError(f"stream {table['name']}: {error}") from None


def _problems(table: Mapping[str, object], allowed: Mapping[str, Setting]) -> list[str]:
    problems = [f"{key} is missing" for key in _NEEDED if key not in table]
    for key, value in table.items():
        if key not in allowed:
            meant = did_you_mean(key, allowed) or f"; it may hold {', '.join(allowed)}"
            problems.append(f"{key} is no option of a stream{meant}")
        elif (problem := allowed[key].problem(value)) is not None:
            problems.append(f"{key} {problem}")
    return problems
