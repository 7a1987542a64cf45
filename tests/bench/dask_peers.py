"""A scheduler and workers of Dask on this machine, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Peers:
    """A cluster; `address` is its scheduler's."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        for _ in range(workers):
            self.hire()
        while not self._file.exists():
            assert self.scheduler.poll() is None, self.said
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text())["address"]

    @property
    def said(self) -> str:
        return (self._folder / "log").read_text()

    def hire(self) -> None:
        self.workers.append(self._start("worker", "--nthreads", "1", "--no-nanny"))

    def wait_for(self, workers: int) -> None:
        """Until so many workers have ever been registered."""
        while self.said.count("Registered to") < workers:
            assert self.workers[-1].poll() is None, self.said
            time.sleep(0.05)

    def end(self) -> None:
        for worker in (*self.workers, self.scheduler):
            worker.kill()
            worker.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        options = ["--scheduler-file", str(self._file), "--no-dashboard"]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command, *options],
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
