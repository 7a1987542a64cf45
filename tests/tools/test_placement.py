from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.tools.placement import parse_cores, place_process

CORE = min(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "cores"), [("2", {2}), ("2,3", {2, 3}), ("0-3, 6", {0, 1, 2, 3, 6})], ids=["one", "two", "range"]
)
def test_cores(text: str, cores: set[int]) -> None:
    assert parse_cores(text) == cores


@pytest.mark.parametrize("text", ["", "a", "1,", "3-1", "-1", "1.5", "99999", "4096"])
def test_no_cores(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cores are numbers"):
        parse_cores(text)


def test_a_core_that_is_not_there_leaves_all_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    for text in ("4095", f"{CORE},4095"):
        with pytest.raises(ConfigurationError, match="4095 is not there"):
            place_process(text)
        assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("nice", [-21, 20])
def test_niceness_has_bounds(nice: int) -> None:
    with pytest.raises(ConfigurationError, match="niceness lies between"):
        place_process(nice=nice)


SCRIPT = f"""
import json, os, threading
from emer_edge.tools.placement import place_process
stop = threading.Event()
early = threading.Thread(target=stop.wait)
early.start()
place_process({str(CORE)!r}, 7)
from emer_edge.runtime.cameras import open_camera
placed = []
def look(number):
    placed.append((sorted(os.sched_getaffinity(number)), os.getpriority(os.PRIO_PROCESS, number)))
with open_camera("synthetic://") as camera:
    late = threading.Thread(target=lambda: look(0))
    late.start()
    late.join()
    for number in (0, early.native_id, camera.pid):
        look(number)
stop.set()
print(json.dumps(placed))
"""


def test_it_reaches_all_threads_and_the_capture_process() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    placed: list[Any] = json.loads(done.stdout)
    assert placed == [[[CORE], 7]] * 4


def test_niceness_that_the_system_does_not_grant() -> None:
    code = (
        "import os\n"
        "from emer_edge.core.errors import ConfigurationError\n"
        "from emer_edge.tools.placement import place_process\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: place_process(nice=-10)\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "does not grant niceness -10" in done.stdout
