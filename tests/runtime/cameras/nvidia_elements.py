"""Software elements in the place of NVIDIA's: a gst-launch-1.0 that takes a Jetson's pipelines on any machine.

It swaps elements and properties by name, writes down what it was given, and becomes the real gst-launch-1.0. The
stand-in for nvv4l2decoder takes byte streams alone, as NVIDIA's does, whose pad template names no other format.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_LAUNCH = """\
#!{python}
import os, sys
given = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(given) + "\\n")
bytes_of = {{"h264parse": ["openh264dec"], "h265parse": [
    "video/x-h265,stream-format=byte-stream,alignment=au", "!", "avdec_h265"]}}
# nvvidconv's flip-method, 0 to 7, in videoflip's names
turns = "identity 90l 180 90r horiz ur-ll vert ul-lr".split()
made, parser = [], ""
for word in given:
    name, _, value = word.partition("=")
    if word == "nvarguscamerasrc":
        made += {source!r}.split()
    elif word == "nvv4l2decoder":
        made += bytes_of[parser]
    elif word == "nvvidconv":
        made += ["videoconvert"]
    elif name == "flip-method":
        made += ["!", "videoflip", "video-direction=" + turns[int(value)]]
    elif name not in ("sensor-id", "sensor-mode", "exposuretimerange"):
        made.append(word.replace("(memory:NVMM)", ""))
    parser = word if word in bytes_of else parser
os.execv({launch!r}, ["gst-launch-1.0", *made])
"""
_INSPECT = """\
#!/bin/sh
case "$2" in nv*) exit 0;; esac
exec {inspect} "$@"
"""
REAL = {"launch": shutil.which("gst-launch-1.0"), "inspect": shutil.which("gst-inspect-1.0")}
SENSOR = "videotestsrc is-live=true pattern=ball"


def install(folder: Path, source: str = SENSOR, launch: str | None = None) -> Path:
    """Put both programs into a folder, for the front of PATH; return the file that lists the pipelines.

    `source` stands for nvarguscamerasrc, `launch` for gst-launch-1.0 itself.
    """
    log = folder / "pipelines.txt"
    log.touch()
    real = REAL | ({} if launch is None else {"launch": launch})
    for name, text in (("gst-launch-1.0", _LAUNCH), ("gst-inspect-1.0", _INSPECT)):
        path = folder / name
        path.write_text(text.format(python=sys.executable, log=str(log), source=source, **real))
        path.chmod(0o755)
    return log
