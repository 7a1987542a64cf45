"""Outputs of a run of several streams: those that tell streams apart by what is in a result."""

from __future__ import annotations

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.mqtt import Mqtt, parse_broker
from emer_edge.runtime.outputs.registry import Wanted
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.say import Say

__all__ = ["check_several", "open_several"]


def check_several(wanted: Wanted, pace: str = "real", validate: bool = False) -> None:
    """Look at what a run of several streams was asked for; see `check_outputs` for the rest.

    Raises:
        ConfigurationError: an output, a pace or a validation that a run of one stream alone can have.
    """
    alone = {
        "--save": wanted.session is not None,
        "--record": wanted.record is not None,
        "--metrics": wanted.metrics is not None,
        "--lsl-out": wanted.lsl is not None,
        "--serve": wanted.serve is not None,
        "--pace fast": pace != "real",
        "--validate": validate,
    }
    asked = [flag for flag, value in alone.items() if value]
    if asked:
        raise ConfigurationError(
            f"{' and '.join(asked)} {'is' if len(asked) == 1 else 'are'} for a run of one stream; with [[stream]] "
            "tables leave it out, or start a run for each stream (--json and --mqtt tell streams apart)"
        )


def open_several(wanted: Wanted, say: Say) -> list[Output]:
    """Make the outputs that a run of several streams was asked for; see `open_outputs`."""
    made: list[Output] = []
    if wanted.mqtt is not None:
        made.append(Mqtt(parse_broker(wanted.mqtt), say))
    if wanted.json:
        made.append(JsonLines())
    if wanted.summary:
        made.append(SummaryTable(wanted.console))
    return made
