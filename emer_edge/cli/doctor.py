"""`emer-edge doctor`: is this machine, and a bundle on it, as it should be?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.options import EngineOption, ThreadsOption
from emer_edge.cli.progress import console, progress_bars


def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle to examine, too.", metavar="[BUNDLE]", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write findings to stdout, one JSON object a line.")] = False,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Examine this machine, and replay a bundle's golden inputs on it.

    Every line is ok, a warning or a problem, with what mends it. A bundle's parts must give here what they gave where
    they were exported; the inputs are patterns, no faces. Exits with 1 when there is a problem. Nothing is changed.
    """
    from json import dumps

    from emer_edge.tools.doctor import examine, worst

    findings = []
    with progress_bars() as report:
        for each in examine(bundle, engine, threads, report):
            findings.append(each)
            if json:
                print(dumps(each.to_dict()))  # noqa: T201  data, asked for
            else:
                style = _STYLES[each.level]
                console.print(f"{each.level:8} {each.subject}: {each.told}", style=style, markup=False, soft_wrap=True)
                if each.mend:
                    console.print(f"{'':8} {each.mend}", markup=False, soft_wrap=True)
    if worst(findings) == "problem":
        raise typer.Exit(1)


_STYLES = {"ok": "default", "warning": "yellow", "problem": "red"}
