"""`emer-edge devices`: what is plugged in."""

from __future__ import annotations

from typing import Annotated

import typer

from emer_edge.cli.progress import say


def devices(
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")] = False,
    kinds: Annotated[
        bool, typer.Option("--kinds", help="List what --camera and --tracker take, with all parameters, instead.")
    ] = False,
) -> None:
    """List cameras and eye trackers, each with what to pass to `emer-edge run`.

    Cameras are V4L2 devices and CSI sensors; trackers are serial ports, an Open Gaze server on this machine, LSL gaze
    streams, and what the Tobii Pro SDK finds. Nothing is changed, and no image is taken.
    """
    from emer_edge.tools.devices import list_devices, told, told_json, told_sources

    if kinds:
        for line in told_sources():
            say(line)
        return
    found = list_devices()
    if json:
        print(told_json(found))  # noqa: T201  data, asked for
        return
    for line in told(found):
        say(line)
