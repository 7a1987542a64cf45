from __future__ import annotations

import subprocess
import sys

SPEAKER = """
import sys, threading
from emer_edge.cli.progress import say
sys.stdin.readline()
failed = []
def speak():
    try:
        for number in range(3):
            say(f"sentence {number}")
    except BaseException as error:
        failed.append(repr(error))
thread = threading.Thread(target=speak)
thread.start()
thread.join()
speak()
print("data", failed, flush=True)
"""


def test_when_nobody_reads_stderr_any_more_data_goes_on_and_so_does_who_speaks() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SPEAKER], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.stdout.read() == b"data []\n"
        assert process.wait() == 0
