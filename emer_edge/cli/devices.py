"""`emer-edge devices`: connected cameras and eye trackers."""

from __future__ import annotations

from typing import Annotated

import typer

from emer_edge.cli.console import say


def devices(
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")] = False,
    kinds: Annotated[
        bool,
        typer.Option("--kinds", help="List the sources of --camera and --tracker with all their parameters instead."),
    ] = False,
) -> None:
    """List cameras and eye trackers, with the arguments of `emer-edge run` that select them.

    Cameras are V4L2 devices and CSI sensors; trackers are serial ports, an Open Gaze server on this machine, LSL gaze
    streams, and trackers of the Tobii Pro SDK. Nothing is changed, and no image is taken.
    """
    from dataclasses import asdict
    from json import dumps

    from emer_edge.tools.devices import device_lines, list_devices, source_lines

    if kinds:
        for line in source_lines():
            say(line)
        return
    devices = list_devices()
    if json:
        print(dumps(asdict(devices), indent=2))  # noqa: T201  data for stdout
        return
    for line in device_lines(devices):
        say(line)
