"""Read a camera and an eye tracker in Python: `python examples/consumer.py BUNDLE CAMERA [TRACKER]`."""

from __future__ import annotations

import sys

from emer_edge import Pipeline, Result, load_bundle
from emer_edge.core.results import State


def sentence(result: Result) -> str:
    """What a result says."""
    felt, shown = result.top("er-7"), result.top("fer-7")
    if result.state is not State.OK or felt is None or shown is None:
        return result.state.value
    gap = "" if result.gap is None else f", {result.gap.distance:.2f} apart"
    return f"felt {felt[0]} ({felt[1]:.0%}), shown {shown[0]} ({shown[1]:.0%}){gap}"


def main(bundle: str, camera: str, tracker: str | None = None) -> None:
    """Print a line per result."""
    with Pipeline(load_bundle(bundle), camera=camera, tracker=tracker) as pipeline:
        for result in pipeline:
            print(sentence(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
