"""What is shipped in deploy/: read by the tools that will read it, where they are installed here."""

from __future__ import annotations

import fnmatch
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from board_devices import COMMON, GPU, SENSORS
from machine import needs

from emer_edge.bundle import Bundle

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
RULES = DEPLOY / "60-emer-edge-tracker.rules"
NEW_IN_254 = ("RestartSteps", "RestartMaxDelaySec")
needs_systemd = needs("systemd-analyze")


def installed(unit: Path, folder: Path) -> Path:
    """A unit whose program exists on this machine."""
    text = unit.read_text().replace("/opt/emer-edge/bin/emer-edge", "/bin/true")
    path = folder / unit.name
    path.write_text(text)
    return path


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    paths = [installed(unit, tmp_path) for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    wrong = [
        line
        for line in done.stderr.splitlines()
        if str(tmp_path) in line and not any(f"Unknown key '{key}'" in line for key in NEW_IN_254)
    ]
    assert (done.returncode, wrong) == (0, [])


@needs_systemd
def test_systemd_would_find_something_wrong(tmp_path: Path) -> None:
    path = installed(UNITS[0], tmp_path)
    path.write_text(path.read_text().replace("NoNewPrivileges=yes", "NoNewPrivilegs=yes"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert "NoNewPrivilegs" in done.stderr


@needs_systemd
@pytest.mark.parametrize(("unit", "most"), [("emer-edge", 2.0), ("emer-edge-build", 1.2)])
def test_the_units_expose_little(tmp_path: Path, unit: str, most: float) -> None:
    path = installed(DEPLOY / f"{unit}.service", tmp_path)
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={round(most * 10)}", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is older than 250, which judges units offline")
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= most
    assert done.returncode == 0


def test_both_units_have_the_same_user_folders_and_program() -> None:
    shared = ("User", "DynamicUser", "StateDirectory", "CacheDirectory", "UMask", "Environment", "WorkingDirectory")
    lines = [
        {key: re.findall(rf"^{key}=.*$", unit.read_text(), re.MULTILINE) for key in (*shared, "NoNewPrivileges")}
        for unit in UNITS
    ]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert all(lines[0].values())


def allowed(unit: str, names: tuple[str, ...]) -> set[str]:
    """Those of the names that the unit's DeviceAllow= lets through, as systemd matches them: by fnmatch(3)."""
    text = (DEPLOY / f"{unit}.service").read_text()
    assert "DevicePolicy=closed" in text
    patterns = re.findall(r"^DeviceAllow=char-(\S+) rw$", text, re.MULTILINE)
    return {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}


@pytest.mark.case(
    "the service on a board whose GPU is 17000000.gpu in /proc/devices",
    source="",
    before="char-nvgpu* and char-nvhost* matched none of the GPU's devices: CUDA was denied",
)
@pytest.mark.parametrize("release", GPU)
def test_a_boards_gpu_is_allowed_and_no_other_devices(release: str) -> None:
    names = (*COMMON, *GPU[release])
    assert allowed("emer-edge", names) == {*GPU[release], *SENSORS}
    assert allowed("emer-edge-build", names) == {*GPU[release]}  # engines are built without cameras
    for unit in UNITS:
        text = unit.read_text()
        assert "DeviceAllow=/dev/nvmap rw" in text  # r35
        assert {"video", "render"} <= set(re.findall(r"^SupplementaryGroups=(.*)$", text, re.MULTILINE)[0].split())


@pytest.mark.case(
    "a CSI camera in the service, whose /tmp is its own",
    source="",
    before="the socket of Argus was hidden, and a restarted daemon's would be",
)
def test_the_service_reaches_argus_and_restarts_with_it() -> None:
    text = (DEPLOY / "emer-edge.service").read_text()
    assert re.search(r"^BindPaths=-/tmp/argus_socket$", text, re.MULTILINE)  # "-": not every machine has it
    assert re.search(r"^PartOf=nvargus-daemon\.service$", text, re.MULTILINE)
    assert re.search(r"^After=.*\bnvargus-daemon\.service\b", text, re.MULTILINE)


def test_the_units_reach_no_network() -> None:
    service, build = (
        (DEPLOY / f"{name}.service").read_text().splitlines() for name in ("emer-edge", "emer-edge-build")
    )
    assert {"IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"} <= set(service)
    assert [line for line in service if line.startswith("IPAddressAllow=")] == ["IPAddressAllow=localhost"]
    assert {"IPAddressDeny=any", "PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX AF_NETLINK"} <= set(build)
    assert not any(line.startswith("IPAddressAllow=") for line in build)


def commands_of(path: Path) -> list[list[str]]:
    """The commands in the comments at the head of a Dockerfile, as words of the shell."""
    head = path.read_text().partition("\n\n")[0]
    joined = re.sub(r"\\\n#\s*", "", head)
    return [shlex.split(line.lstrip("# ")) for line in joined.splitlines() if line.startswith("#   docker")]


@pytest.mark.case(
    "a container's user who is not root, on a board",
    source="",
    before="--group-add video by the image's number, and no render at all: CUDA error 801",
)
@pytest.mark.parametrize("path", [path for path in DOCKERFILES if path.stem != "x86"], ids=lambda path: path.stem)
def test_an_image_for_a_board_is_run_with_its_groups_and_its_release(path: Path) -> None:
    build, run = commands_of(path)
    assert build[:4] == ["docker", "build", "-f", f"deploy/{path.name}"]
    pairs = list(itertools.pairwise(run))
    groups = [value for option, value in pairs if option == "--group-add"]
    assert groups == [f"$(getent group {name} | cut -d: -f3)" for name in ("video", "render", "dialout")]
    mounts = [value for option, value in pairs if option == "-v"]
    assert "/etc/nv_tegra_release:/etc/nv_tegra_release:ro" in mounts
    assert ("--runtime", "nvidia") in pairs
    assert "/tmp/argus_socket:/tmp/argus_socket" in path.read_text()


# Tags that were met in public; cuda's in what is run on DGX Spark, which is an ARM server, too.
IMAGES = {
    "l4t": "nvcr.io/nvidia/l4t-jetpack:r36.4.0",
    "jetpack7": "nvcr.io/nvidia/cuda:13.0.1-devel-ubuntu24.04",
    "x86": "python:3.12-slim",
}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_is_made_from_one_that_exists(path: Path) -> None:
    text = path.read_text()
    for name, value in re.findall(r"^ARG (\w+)=(.*)$", text, re.MULTILINE):
        text = text.replace(f"${{{name}}}", value)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {IMAGES[path.stem]}


def test_the_environment_file_is_read_as_systemd_reads_it() -> None:
    lines = [
        line for line in (DEPLOY / "emer-edge.env").read_text().splitlines() if line and not line.startswith(("#", ";"))
    ]
    assert all(re.fullmatch(r"[A-Z_][A-Z0-9_]*=\S*", line) for line in lines)
    bundle = next(line.partition("=")[2] for line in lines if line.startswith("EMER_EDGE_BUNDLE="))
    assert f'bundle = "{bundle}"' in (DEPLOY / "run.toml").read_text()


def test_every_rule_is_made_of_matches_and_assignments() -> None:
    rules = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    clause = r'(?:ACTION|SUBSYSTEM|KERNEL|DRIVER|GROUP|MODE|TAG|SYMLINK|ENV\{\w+\}|ATTR\{\w+\})(?:==|!=|\+=|=)"[^"]*"'
    for rule in rules:
        assert re.fullmatch(rf"{clause}(?:, {clause})*", rule), rule
        assert re.search(r'[^=!]=(?!=)"|\+="', rule), f"it assigns nothing: {rule}"
    assert len(rules) == 4


@needs("udevadm")
def test_udev_takes_the_rules() -> None:
    done = subprocess.run(["udevadm", "verify", str(RULES)], capture_output=True, text=True, check=False)
    if "Unknown command" in done.stderr:
        pytest.skip("this systemd is older than 254, whose udevadm verifies rules")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_runs_as_nobody_special_and_holds_what_it_needs(path: Path) -> None:
    lines = re.sub(r"\\\n\s*", " ", path.read_text()).splitlines()
    stages = [at for at, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(stages) == 2, "what builds does not run"
    last = lines[stages[-1] :]
    assert [line for line in last if line.startswith("USER ")] == ["USER 10001"]
    assert next(line for line in reversed(last) if line.startswith("ENTRYPOINT")) == 'ENTRYPOINT ["emer-edge"]'
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in lines:
        if not line.startswith("COPY ") or "--from=" in line:
            continue
        for source in line.split()[1:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.removeprefix('./')}" in ignored, f"{source} is not among what the image is made from"
    needed = re.findall(
        r'^(?:readme = |license-files = \[)"([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    for name in needed:
        assert name in path.read_text(), f"the wheel needs {name}"


def test_the_service_asks_for_tensorrt_by_name() -> None:
    """So that the GPU's absence ends the start instead of giving results of a CPU unawares."""
    assert re.search(r'^engine = "tensorrt"', (DEPLOY / "run.toml").read_text(), re.MULTILINE)
    start = re.search(r"^ExecStart=(.*)$", (DEPLOY / "emer-edge.service").read_text(), re.MULTILINE)
    assert start is not None
    assert "run --config /etc/emer-edge/run.toml" in start[1]
    assert "--engine" not in start[1]
    build = re.search(r"^ExecStart=(.*)$", (DEPLOY / "emer-edge-build.service").read_text(), re.MULTILINE)
    assert build is not None
    assert build[1].endswith("--package tensorrt")


@pytest.mark.case(
    "the service as it is installed", before="every result, with its emotions, was in the journal", source=""
)
def test_the_service_writes_no_emotion_into_the_journal(bundle: Bundle, video: Path, tracker: Path) -> None:
    command = [sys.executable, "-m", "emer_edge", "run", str(bundle.path), "--config", str(DEPLOY / "run.toml")]
    command += ["--camera", str(video), "--tracker", str(tracker), "--engine", "onnxruntime", "--pace", "fast"]
    done = subprocess.run([*command, "--offset-ms", "0"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "step latency" in done.stderr  # it is the run's whole report
    words = {"felt", "shown", "gap", *(name for head in bundle.manifest.heads for name in head.classes)}
    assert not [word for word in words if re.search(rf"\b{word}\b", done.stderr)]
