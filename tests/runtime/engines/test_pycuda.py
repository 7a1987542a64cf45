"""The real pycuda, compiled against NVIDIA's public headers, over a libcuda that counts (see counting_libcuda.c).

It shows that contexts, memory, streams, captures and graphs come and go in the right order and thread. It shows nothing
of a GPU, and nothing of TensorRT, which the stand-in plays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

import pytest
from machine import find_program

HERE = Path(__file__).parent
PYCUDA = "pycuda==2026.1"
HEADERS = ("nvidia-cuda-runtime==13.*", "nvidia-cuda-crt==13.*", "nvidia-cuda-profiler-api==13.*")
PAIRS = (
    ("contexts_retained", "contexts_released"),
    ("allocated", "freed"),
    ("streams", "streams_destroyed"),
    ("captures", "captures_ended"),
    ("graphs", "graphs_destroyed"),
    ("executables", "executables_destroyed"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_program("g++") is None, reason="g++ is not installed (make test-deps)"),
]


def pip(*arguments: str | Path) -> None:
    """Run pip; a machine that it gets nothing on skips these tests."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        pytest.skip(f"pycuda can't be had here: {last}")


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Path:
    """A folder with the counting libcuda and pycuda, compiled once and kept in pytest's cache: minutes on two cores."""
    folder = request.config.cache.mkdir(f"pycuda-{sysconfig.get_platform()}-{sys.version_info[0]}{sys.version_info[1]}")
    library = folder / "libcuda.so.1"
    source = HERE / "counting_libcuda.c"
    flags = ("-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1")
    subprocess.run(["gcc", *flags, "-o", library, source, "-lpthread"], check=True)
    (folder / "libcuda.so").unlink(missing_ok=True)
    (folder / "libcuda.so").symlink_to(library)
    if not list(folder.glob("site/pycuda/_driver*.so")):
        pip("install", "--target", folder / "headers", "--no-deps", *HEADERS)
        pip("download", "--no-deps", "--no-build-isolation", "--no-binary", "pycuda", PYCUDA, "-d", folder)
        (archive,) = folder.glob("pycuda-*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        unpacked = archive.with_name(archive.name.removesuffix(".tar.gz"))
        (unpacked / "siteconf.py").write_text(
            "CUDA_ENABLE_CURAND = False\n"
            f"CUDA_INC_DIR = [{str(folder / 'headers/nvidia/cu13/include')!r}]\n"
            f"CUDADRV_LIB_DIR = [{str(folder)!r}]\n"
            'CXXFLAGS = ["-O0", "-g0", "-w"]\nLDFLAGS = ["-Wl,-z,lazy"]\n'
        )
        pip("install", "--target", folder / "site", "--no-deps", unpacked)
        pip("install", "--target", folder / "site", "pytools")
    return Path(folder)


def counted(site: Path, scenario: str, folder: Path, kind: str) -> dict[str, Any]:
    """Run a scenario in a process of its own."""
    paths = (HERE, site / "site", HERE.parents[2], *filter(None, [os.environ.get("PYTHONPATH")]))
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(site),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [sys.executable, HERE / "counted_gpu.py", scenario, folder, kind]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    counts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counts


def unsettled(counts: dict[str, Any]) -> list[str]:
    """What was got and not given back, or done as CUDA forbids it; empty where all is well."""
    left = [f"{counts[one] - counts[other]} {one}" for one, other in PAIRS if counts[one] != counts[other]]
    left += [f"{counts['current']} contexts are still current"] if counts["current"] else []
    return left + ([f"{counts['faults']} faults, the first: {counts['fault']}"] if counts["faults"] else [])


@pytest.mark.parametrize("kind", ["integrated", "with memory of its own"])
@pytest.mark.parametrize("scenario", ["runs", "several", "no_capture", "closed_elsewhere", "refused"])
def test_all_that_is_got_is_given_back_by_the_thread_that_got_it(
    site: Path, tmp_path: Path, scenario: str, kind: str
) -> None:
    counts = counted(site, scenario, tmp_path, kind)
    assert unsettled(counts) == []
    assert counts["contexts_retained"] >= 1
    if scenario != "refused":
        assert counts["allocated"] > 0
        assert counts["copies"] == 0 if kind == "integrated" else counts["copies"] > 0
    if scenario == "runs":
        assert counts["executables"] >= 1
        assert counts["launches"] >= 1
    if scenario == "no_capture":
        assert (counts["captures"], counts["graphs"]) == (1, 0)


def test_a_leak_is_found(site: Path, tmp_path: Path) -> None:
    assert any("allocated" in each for each in unsettled(counted(site, "leaks", tmp_path, "integrated")))


def test_memory_that_another_thread_frees_is_found(site: Path, tmp_path: Path) -> None:
    counts = counted(site, "frees_elsewhere", tmp_path, "with memory of its own")
    assert any("freed by another thread" in each for each in unsettled(counts)), counts
