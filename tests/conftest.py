from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from machine import NATURE

os.environ.setdefault("OMP_NUM_THREADS", "1")
for _name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)  # what rich and typer print must not depend on who runs the tests

# LSL reads its settings when it is loaded: a session for each process, so that no test meets the streams of another.
if "PYTEST_XDIST_WORKER" in os.environ:
    _folder = Path(os.environ["LSLAPICFG"]).parent  # its parent's, which outlives it
else:
    _folder = Path(tempfile.mkdtemp(prefix="emer-edge-lsl-"))
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
_session = uuid.uuid4().hex
_settings = Path(__file__).with_name("lsl_api.cfg").read_text().replace("SESSION", _session)
os.environ["LSLAPICFG"] = str(_folder / f"{_session}.cfg")
Path(os.environ["LSLAPICFG"]).write_text(_settings)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _judged((yield))


def _judged(report):
    """On CI a test that is skipped because the machine lacks something has failed."""
    if os.environ.get("CI") and report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(NATURE):
            report.outcome, report.longrepr = "failed", f"CI may not skip this: {reason}"
    return report
