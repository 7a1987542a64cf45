"""`emer-edge doctor`: checks this machine, and a bundle on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import console, progress_bars
from emer_edge.cli.shared_options import EngineOption, ThreadsOption


def doctor(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle to check, too.", metavar="[BUNDLE]")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write findings to stdout, one JSON object per line.")] = False,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Check this machine, and replay a bundle's golden inputs on it.

    Every line is ok, a warning or a problem, with how to fix it. A bundle's parts must compute the same here as where
    they were exported; the inputs are patterns, not faces. Exits with 1 if there is a problem. Nothing is changed.
    """
    from json import dumps

    from emer_edge.tools.doctor import examine, worst

    findings = []
    with progress_bars() as report:
        for finding in examine(bundle, engine, threads, report):
            findings.append(finding)
            if json:
                print(dumps(finding.to_dict()))  # noqa: T201  data for stdout
                continue
            line = f"{finding.level:8} {finding.subject}: {finding.message}"
            console.print(line, style=_STYLES[finding.level], markup=False, soft_wrap=True)
            if finding.fix:
                console.print(f"{'':8} {finding.fix}", markup=False, soft_wrap=True)
    if worst(findings) == "problem":
        raise typer.Exit(1)


_STYLES = {"ok": "default", "warning": "yellow", "problem": "red"}
