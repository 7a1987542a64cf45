from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tensorrt_inputs import ORIN, write_network

from emer_edge.core.errors import EngineError
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions
from emer_edge.runtime.engines.tensorrt.plan_cache import PlanCache, purge_engines
from emer_edge.runtime.engines.tensorrt.toolkit import UNKNOWN, Machine, difference, find_tensorrt

pytestmark = pytest.mark.skipif(find_tensorrt() is None, reason="neither tensorrt nor tensorrt_rtx is installed")

UPGRADED = msgspec.structs.replace(ORIN, tensorrt="tensorrt 10.7.0", l4t="36.5.0")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return write_network(tmp_path)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: list[str]) -> PlanCache:
    return PlanCache(ORIN, tmp_path / "engines", told.append)


def test_second_opening_finds_the_plan(cache: PlanCache, part: Path, told: list[str]) -> None:
    first, second = cache.get(part), cache.get(part)
    assert (first.built, second.built) == (True, False)
    assert first.plan == second.plan
    assert first.sidecar == second.sidecar
    assert len(told) == 1
    assert "building the engine of tiny for Orin with tensorrt 10.3.0, once" in told[0]


def test_files_are_the_users_alone_and_say_what_they_are_for(cache: PlanCache, part: Path) -> None:
    kept = cache.get(part)
    assert kept.path is not None
    assert kept.path.parent.stat().st_mode & 0o777 == 0o700
    for file in (kept.path, kept.path.with_suffix(".json")):
        assert file.stat().st_mode & 0o777 == 0o600
    sidecar = json.loads(kept.path.with_suffix(".json").read_text())
    assert sidecar["machine"] == {
        "gpu": "Orin",
        "module": "unknown",
        "compute_capability": "8.7",
        "multiprocessors": "unknown",
        "tensorrt": "tensorrt 10.3.0",
        "cuda": "12.6",
        "driver": "540.4.0",
        "l4t": "36.4.0",
    }
    assert sidecar["part"] == "tiny"
    assert sidecar["plan_bytes"] == len(kept.plan)


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (
            UPGRADED,
            "it was built with tensorrt 10.3.0, L4T 36.4.0, and this machine has tensorrt 10.7.0, L4T 36.5.0",
        ),
        (
            msgspec.structs.replace(ORIN, driver="550.1.0"),
            "it was built with driver 540.4.0, and this machine has driver 550.1.0",
        ),
        (
            msgspec.structs.replace(ORIN, gpu="Xavier", compute_capability="7.2"),
            "it was built with GPU Orin, compute capability 8.7, and this machine has GPU Xavier, compute capability "
            "7.2",
        ),
    ],
    ids=["TensorRT and L4T", "driver", "GPU"],
)
def test_mismatch_names_both_sides_and_rebuilds(
    cache: PlanCache, part: Path, told: list[str], now: Machine, sentence: str
) -> None:
    cache.get(part)
    told.clear()
    other = PlanCache(now, cache.folder, told.append)
    assert other.get(part).built
    assert len(told) == 1
    assert sentence in told[0]
    assert not other.get(part).built


def test_upgrade_removes_what_it_outdated_and_another_gpu_does_not(cache: PlanCache, part: Path) -> None:
    old = cache.get(part).path
    xavier = PlanCache(msgspec.structs.replace(ORIN, gpu="Xavier", compute_capability="7.2"), cache.folder).get(part)
    PlanCache(UPGRADED, cache.folder).get(part)
    assert old is not None
    assert not old.exists()
    assert xavier.path is not None
    assert xavier.path.exists()


def test_another_module_of_the_same_gpu_is_another_plan(cache: PlanCache, part: Path, told: list[str]) -> None:
    """All Orins call themselves `Orin`, 8.7; TensorRT itself only warns of a plan that was built on another one."""
    nano = msgspec.structs.replace(ORIN, module="NVIDIA Jetson Orin Nano", multiprocessors="8")
    for other in (
        nano,
        msgspec.structs.replace(nano, module="NVIDIA Jetson Orin NX"),
        msgspec.structs.replace(nano, multiprocessors="4"),
    ):
        machine = PlanCache(other, cache.folder, told.append)
        assert machine.get(part).built
        assert not machine.get(part).built
    assert not PlanCache(nano, cache.folder, told.append).get(part).built
    assert any("module NVIDIA Jetson Orin Nano" in each and "module NVIDIA Jetson Orin NX" in each for each in told)


def test_what_is_unknown_does_not_differ() -> None:
    assert difference(ORIN, msgspec.structs.replace(ORIN, l4t=UNKNOWN, driver=UNKNOWN)) is None
    assert difference(ORIN, ORIN) is None


def test_other_options_and_other_parts_are_other_plans(cache: PlanCache, part: Path, tmp_path: Path) -> None:
    paths = {
        cache.get(part).path,
        cache.get(part, BuildOptions(most=4)).path,
        cache.get(write_network(tmp_path, seed=1)).path,
    }
    assert len(paths) == 3
    part = write_network(tmp_path)
    assert not cache.get(part, BuildOptions(workspace_mb=512)).built  # a cap on the search is no other plan


def _corrupt(path: Path) -> None:
    path.write_bytes(b"\0" + path.read_bytes()[1:])


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _open_to_others(path: Path) -> None:
    path.chmod(0o622)


def _link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def _break_sidecar(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


def _lose_sidecar(path: Path) -> None:
    path.with_suffix(".json").unlink()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_corrupt, "damaged"),
        (_truncate, "damaged"),
        (_open_to_others, "can be written by others, so it is not trusted"),
        (_link, "symbolic links"),
        (_break_sidecar, "can't be read"),
        (_lose_sidecar, ""),
    ],
    ids=["corrupt", "truncated", "open to others", "link", "broken sidecar", "no sidecar"],
)
def test_plan_that_is_not_ours_is_never_used(
    cache: PlanCache, part: Path, told: list[str], harm: object, reason: str
) -> None:
    path = cache.get(part).path
    assert path is not None
    assert callable(harm)
    harm(path)
    told.clear()
    assert cache.get(part).built
    assert reason in told[0]
    assert not path.is_symlink()
    assert not cache.get(part).built


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: giving a file to another user")
def test_plan_of_another_user_is_not_trusted(cache: PlanCache, part: Path, told: list[str]) -> None:
    path = cache.get(part).path
    assert path is not None
    os.chown(path, 12345, 12345)
    assert cache.get(part).built
    assert "belongs to another user" in told[1]


def test_folder_that_others_can_write_is_not_used(tmp_path: Path, part: Path, told: list[str]) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    kept = PlanCache(ORIN, folder, told.append).get(part)
    assert kept.path is None
    assert kept.plan
    assert list(folder.iterdir()) == []
    assert "can be written by others" in told[0]


@pytest.mark.slow
def test_several_processes_build_a_plan_once(tmp_path: Path, part: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tensorrt_inputs import ORIN\n"
        "from emer_edge.runtime.engines.tensorrt.plan_cache import PlanCache\n"
        "kept = PlanCache(ORIN, Path(sys.argv[2])).get(Path(sys.argv[3]))\n"
        "print(kept.built, kept.sidecar.plan_sha256)\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path / "engines"), str(part)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    words = [out.split() for out, _ in outputs]
    assert sorted(each[0] for each in words) == ["False", "False", "True"]
    assert len({each[1] for each in words}) == 1


def test_refused_part_leaves_nothing_behind(cache: PlanCache, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="node last"):
        cache.get(write_network(tmp_path, "odd", operator="Frobnicate"))
    assert [each.suffix for each in cache.folder.iterdir()] == [".lock"]


def test_purge_removes_every_plan(cache: PlanCache, part: Path) -> None:
    cache.get(part)
    assert purge_engines(cache.folder) >= 3
    assert list(cache.folder.iterdir()) == []
    assert purge_engines(cache.folder / "absent") == 0
