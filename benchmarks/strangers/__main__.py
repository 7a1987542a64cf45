"""How the product reads people it never saw: real clips and photographs out of packages, labelled by another network.

    python -m benchmarks.strangers                    # the demo bundle of the package
    python -m benchmarks.strangers --bundle X.emer    # any other with an FER head of seven classes

Everything is the product's: file camera, detector, aligner, INT8 parts, its own heads, windows without eyes, the guard.
The judge (`fer` on PyPI) sees the same crops; it is no truth about people, and no clip here is used for anything else.
A photograph is a still clip. The packages (45 MB) and the judge's environment (about 400 MB) stay in `--work`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from benchmarks.common import RESULTS, Floor, Workshop, conclude, console, show
from benchmarks.strangers.figures import SURE, Items, agreement, counts, figures_of, plain
from benchmarks.strangers.judge import judged
from benchmarks.strangers.material import JUDGE, PACKAGES, strangers
from benchmarks.strangers.reading import STILL_S, Reading, read, readable
from emer_edge.bundle import load_bundle
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.window import NANOSECONDS
from emer_edge.demo import READY
from emer_edge.report.table import Column
from emer_edge.runtime.session import Session

SMILE = 0.9
SEVEN = 0.65
QUIET = 0.7
FEWEST_PEOPLE = 12
EYES_EVERY = 3


def main() -> int:
    """Run it; return the exit code."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--bundle", type=Path, default=READY, help="an INT8 bundle; the package's demo bundle by default")
    made.add_argument("--work", type=Path, default=user_cache_path("emer-edge-benchmarks") / "strangers")
    made.add_argument("--output", type=Path, default=RESULTS / "strangers.json", help="where the figures go, as JSON")
    arguments = made.parse_args()
    work: Path = arguments.work
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    shown, wheel = strangers(work), JUDGE.fetch(work / "packages")
    tracker = Workshop(work).recording(round(STILL_S) + 2) / "tracker.tsv"
    bundle, refusal = readable(load_bundle(arguments.bundle))
    if refusal is not None:
        console.print(
            f"the product refuses to read this bundle without eyes, it is read here all the same: {refusal}",
            soft_wrap=True,
        )
    readings: list[Reading] = []
    passed_over: Counter[str] = Counter()
    with Session(bundle) as session:
        for number, each in enumerate(shown, 1):
            done = read(session, each, tracker if number % EYES_EVERY == 0 else None, work)
            if isinstance(done, Reading):
                readings.append(done)
            else:
                passed_over[done] += 1
            console.print(f"read {number} of {len(shown)}", highlight=False)
    crops = np.concatenate([reading.crops for reading in readings])
    ends = np.cumsum([len(reading.crops) for reading in readings])[:-1]
    words = np.split(judged(work, wheel, crops), ends)
    length_s = bundle.manifest.window.length_ns / NANOSECONDS
    windows = Items.of(readings, words, lambda reading: reading.windows)
    clips = Items.of(readings, words, lambda reading: reading.pieces(length_s))
    sure = {"clips": clips.only(clips.sure), "windows": windows.only(windows.sure)}
    figures = {name: figures_of(items) for name, items in sure.items()}
    everything = {"clips, the judge's unsure ones too": figures_of(clips)}
    compared = [pair for reading in readings for pair in reading.compared]
    loud = [given for quiet, given in compared if not quiet]
    calm = [given for quiet, given in compared if quiet]
    for name, each in (figures | everything).items():
        rows = [(figure, value.value, value.low, value.high) for figure, value in each.items()]
        show(name, (Column("figure"), *(Column(word, digits=3) for word in ("value", "low", "high"))), list(rows))
    table = agreement(sure["clips"])
    show(
        "Clips: the judge's word (rows) and the product's",
        (Column("judge"), *map(Column, EMOTIONS)),
        [(judge, *(said.get(name, 0) for name in EMOTIONS)) for judge, said in table.items()],
    )
    for reason, count in passed_over.items():
        console.print(f"{count} of {len(shown)} faces were passed over: {reason}", highlight=False, soft_wrap=True)
    own = figures["clips"]
    floors = [
        Floor("people read", counts(sure["clips"])["people"], FEWEST_PEOPLE),
        Floor("smile balanced accuracy, clips", own["smile balanced accuracy"].value, SMILE),
        Floor("smile balanced accuracy, by person", own["smile balanced accuracy, by person"].value, SMILE),
        Floor("seven classes, clips", own["seven classes"].value, SEVEN),
        Floor("seven classes, by person", own["seven classes, by person"].value, SEVEN),
        Floor("guard quiet on clips read correctly", own["guard quiet on what is right"].value, QUIET),
        Floor("windows of unlike faces whose gap is compared", float(sum(loud)), 1, at_least=False),
        Floor("reasons not to read this bundle without eyes", float(refusal is not None), 1, at_least=False),
    ]
    result = {
        "bundle": {"name": bundle.manifest.name, "manifest_sha256": bundle.manifest_sha256, "refused": refusal},
        "judge": {"name": JUDGE.name, "version": JUDGE.version, "sha256": JUDGE.sha256, "sure_above": SURE},
        "packages": [asdict(package) for package in PACKAGES],
        "people_told_apart_by": "a list kept by the files' hashes, written by looking at them",
        "photographs_are_still_clips_s": STILL_S,
        "readings": {
            "videos": sum(reading.shown.moving for reading in readings),
            "photographs": sum(not reading.shown.moving for reading in readings),
            "passed_over": dict(passed_over),
        },
        "counts": {"clips": counts(clips), "windows": counts(windows)},
        "figures": {name: plain(each) for name, each in (figures | everything).items()},
        "agreement_clips": table,
        "agreement_windows": agreement(sure["windows"]),
        "gap_with_simulated_eyes": {
            "windows_guard_quiet": len(calm), "compared": sum(calm),
            "windows_guard_alarms": len(loud), "compared_all_the_same": sum(loud),
        },
    }  # fmt: skip
    # Nothing is timed, so a busy machine spoils nothing.
    return conclude("strangers", floors, result, arguments.output, others_share=0.0)


if __name__ == "__main__":
    sys.exit(main())
