"""Build a release, try it where nothing of this checkout is, and leave it in `dist/`: `make release-check`.

Nothing is published. What a step tries is in `release/steps.py`; docs/releasing.md has what the owner does then.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from release.steps import (
    ROOT,
    StepError,
    artefacts,
    build,
    check_base,
    check_extra,
    check_metadata,
    check_resolution,
    check_run,
    check_types,
    check_wheel,
    extras,
    release_notes,
    resolved_only,
    version,
    write_hashes,
)

DIST = ROOT / "dist"


def main() -> int:
    """Run all steps; 1 where one has failed, with what to do."""
    steps = [("wheel and sdist", lambda: build(DIST)), ("their metadata", lambda: check_metadata(artefacts(DIST)))]
    steps += [("what the wheel holds", lambda: check_wheel(artefacts(DIST)[0]))]
    folder = Path(tempfile.mkdtemp(prefix="emer-edge-release-"))
    steps += [("the wheel alone", lambda: check_base(artefacts(DIST)[0], folder))]
    steps += [("a run with the extra desktop", lambda: check_run(artefacts(DIST)[0], folder))]
    steps += [("types, for a consumer", lambda: check_types(folder))]
    for extra in extras():
        check = check_resolution if extra in resolved_only() else check_extra
        steps.append((f"the extra {extra}", lambda extra=extra, check=check: check(artefacts(DIST)[0], extra, folder)))
    steps += [("notes", lambda: release_notes(DIST, version())), ("hashes", lambda: write_hashes(DIST))]
    try:
        for number, (name, step) in enumerate(steps, 1):
            began_s = time.monotonic()
            print(f"[{number}/{len(steps)}] {name} ...", flush=True)
            said = step()
            print(f"    {said or 'good'} ({time.monotonic() - began_s:.0f} s)", flush=True)
    except StepError as failed:
        print(f"release-check: {failed}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    files = ", ".join(sorted(path.name for path in DIST.iterdir()))
    print(f"{DIST}: {files}\nnext: docs/releasing.md, from 'Publish' on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
