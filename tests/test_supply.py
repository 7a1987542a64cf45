"""What is installed: everything pinned and hashed, nothing that is not listed, and what the project needs listed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
LOCKS = ("lock.txt", "oldest.txt", "audit.txt", "release.txt", "torch-cpu.txt", "torch-gpu.txt")
pytestmark = pytest.mark.skipif(not REQUIREMENTS.exists(), reason="this is no checkout")


def stanzas(name: str) -> dict[str, list[str]]:
    """`name==version` and its markers -> hashes."""
    found: dict[str, list[str]] = {}
    for line in (REQUIREMENTS / name).read_text().splitlines():
        if line.startswith("    --hash="):
            found[next(reversed(found))].append(line.split("=", 1)[1].rstrip(" \\"))
        elif line and not line.lstrip().startswith("#"):
            found[line.rstrip(" \\")] = []
    return found


def names(*locks: str) -> set[str]:
    return {each.partition("==")[0] for lock in locks for each in stanzas(lock)}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_and_hashed(lock: str) -> None:
    for package, hashes in stanzas(lock).items():
        assert re.match(r"[a-z0-9.-]+==[0-9][^ ]*( ; .+)?$", package), package
        assert hashes, package
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), package


def test_what_the_project_and_its_tests_need_is_locked() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    extras = re.search(r'"emer-edge\[([a-z,]+)\]"', text)[1].split(",")
    wanted = re.search(r"(?s)\ndependencies = \[(.*?)\n\]", text)[1]
    for extra in (*extras, "dev"):
        wanted += re.search(rf"(?s)\n{extra} = \[(.*?)\](?:  #[^\n]*)?\n(?=\S)", text)[1]
    needed = {each.lower().replace("_", "-") for each in re.findall(r'"([A-Za-z0-9_.-]+)(?:[><=;]|")', wanted)} - {
        "emer-edge"
    }
    assert len(needed) > 30
    assert needed - names("lock.txt", "torch-gpu.txt") == set()
    assert needed - names("oldest.txt", "torch-gpu.txt") - {"tomli"} == set()


def test_torch_is_of_one_version_and_its_cuda_is_apart() -> None:
    (cpu,) = stanzas("torch-cpu.txt")
    assert cpu == next(each for each in stanzas("torch-gpu.txt") if each.startswith("torch==")) + "+cpu"
    heavy = re.compile("torch|triton|nvidia-|cuda-")
    assert not [each for lock in ("lock.txt", "oldest.txt") for each in names(lock) if heavy.match(each)]


@pytest.mark.parametrize(("torch", "lock"), [("cpu", "torch-cpu.txt"), ("gpu", "torch-gpu.txt")])
def test_make_installs_by_hashes_and_then_itself_alone(torch: str, lock: str) -> None:
    command = ["make", "--always-make", "--dry-run", "VENV=.venv-x", f"TORCH={torch}", ".venv-x/installed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    installs = [line.partition(" -m pip install ")[2] for line in done.stdout.splitlines() if " pip install " in line]
    assert len(installs) == 3
    for line, file in zip(installs, (lock, "lock.txt"), strict=False):
        assert f"--require-hashes --no-deps --requirement requirements/{file}" in line
    assert installs[-1].endswith("--no-deps --no-build-isolation --editable .")
