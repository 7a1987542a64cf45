"""Every benchmark in turn, on bundles that are built once."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.common import console, workshop

SCRIPTS = (
    "step_ratio",
    "peers",
    "limits",
    "live_loop",
    "profile_loop",
    "face_stage",
    "import_time",
    "memory",
    "agreement",
    "eyes_used",
    "eye_columns",
    "eye_noise",
    "clocks",
    "calibration",
    "fusion_forms",
    "camera_path",
    "replug",
    "spreading",
)


def main() -> int:
    """Run it; return the exit code."""
    made = argparse.ArgumentParser(description="Run all benchmarks on bundles that are built for them.")
    made.add_argument("--work", type=Path, help="folder for what is built; temporary by default")
    arguments = made.parse_args()
    missed = []
    with workshop(arguments.work) as shop:
        shop.bundle("int8")
        shop.bundle("fp32")
        for name in SCRIPTS:
            console.rule(name)
            command = [sys.executable, "-m", f"benchmarks.{name}", "--work", str(shop.folder)]
            if subprocess.run(command, check=False).returncode:
                missed.append(name)
    console.rule()
    console.print(f"missed: {', '.join(missed)}" if missed else "all floors met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
