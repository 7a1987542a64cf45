from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machine import NATURE
from shared_work import folder_of_all, made_once

if TYPE_CHECKING:
    from emer_edge.bundle import Bundle
    from emer_edge.runtime.session import Session

os.environ.setdefault("OMP_NUM_THREADS", "1")
for _name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)  # what rich and typer print must not depend on who runs the tests
# What is compiled is kept, also where the environment says otherwise: the tests start hundreds of processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A shell has what it starts in the background ignore SIGINT, and the programs that the tests start would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
    """No test reads or fills the cache of the person who runs them; all processes of a run share one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder_of_all(tmp_path_factory) / "user-cache"))
        yield


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The nine-head network with random weights, FP32, and CenterFace; windows of 2.4 s, a result every 0.3 s.

    A machine without torch takes one made elsewhere (`python tests/random_bundle.py FOLDER`).
    """
    from emer_edge.bundle import load_bundle

    made = os.environ.get("EMER_EDGE_TEST_BUNDLE")
    if made:
        return load_bundle(made)
    from random_bundle import make_bundle

    return load_bundle(made_once(tmp_path_factory, "random.emer", make_bundle))


@pytest.fixture(scope="session")
def session(bundle: Bundle) -> Session:
    from emer_edge.runtime.session import Session

    return Session(bundle)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from runtime_inputs import write_video

    return write_video(tmp_path_factory.mktemp("video") / "face.avi", 6.0)


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from runtime_inputs import write_tracker

    return write_tracker(tmp_path_factory.mktemp("tracker") / "gaze.csv", 6.0)


@pytest.fixture
def said() -> list[str]:
    """What was said to people."""
    return []


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
