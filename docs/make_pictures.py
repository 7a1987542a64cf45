"""Take the pictures of the live page, light and dark: `python docs/make_pictures.py`. Needs Chromium.

A simulated recording is played by `emer-edge run --serve` as anybody would play it, with the bundle of `--bundle` or
the demo's, and photographed once it has read for a while. Faces in it are synthetic.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/runtime")]  # the tests' Chromium

from chromium import Chromium  # noqa: E402

EMER_EDGE = (sys.executable, "-m", "emer_edge")
QUALITY = 82
READING = r"/Gap[\s\S]{0,160}\b[01]\.\d\d\b/.test(document.body.innerText)"  # the gap has a figure


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of emer-edge in the background, ended by Ctrl-C."""
    process = subprocess.Popen([*EMER_EDGE, *arguments], stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def photograph(folder: Path, bundle: Path | None, seconds: float, width: int, height: int) -> dict[str, Path]:
    """Play a recording and take the page `seconds` after its first reading; return light and dark, as PNG."""
    visit = folder / "visit"
    subprocess.run([*EMER_EDGE, "simulate", "recording", str(visit), "--seconds", str(seconds + 60)], check=True)
    port = free_port()
    files = ("--camera", str(visit / "video.avi"), "--tracker", str(visit), "--serve", str(port), "--serve-open")
    named = (str(bundle),) if bundle else ()
    with running("run", *named, *files) as run, Chromium(folder / "profile", width, height) as browser:
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1.5, mobile=False
        )
        for _ in range(240):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if run.poll() is not None:
                raise SystemExit("the run ended before its page could be taken")
            time.sleep(0.5)
        browser.open(f"http://127.0.0.1:{port}/")
        browser.until(READING, 90)
        time.sleep(seconds)
        taken = {}
        for name, dark in (("light", False), ("dark", True)):
            browser.scheme(dark)
            time.sleep(0.8)
            taken[name] = folder / f"{name}.png"
            browser.picture(taken[name])
    return taken


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="a bundle; by default the demo's")
    parser.add_argument("--seconds", type=float, default=30.0, help="of reading before the pictures are taken")
    parser.add_argument("--size", default="1280x860", help="of the window, WIDTHxHEIGHT")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    import cv2

    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, png in photograph(Path(folder), arguments.bundle, arguments.seconds, width, height).items():
            image = cv2.imread(str(png))
            if image is None or not cv2.imwrite(
                str(IMAGES / f"page-{name}.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
            ):
                raise SystemExit(f"can't write the picture {name}")
            print(f"wrote {IMAGES / f'page-{name}.webp'}")  # noqa: T201


if __name__ == "__main__":
    main()
