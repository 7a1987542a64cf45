from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import pytest
from lsl_streams import unique
from machine import needs

from emer_edge.core.samples import Display
from emer_edge.runtime.cameras.v4l2 import LAYOUTS, Mode, query_node, request_number
from emer_edge.tools.devices import (
    Device,
    Devices,
    access_problem,
    device_lines,
    find_cameras,
    find_lsl,
    find_open_gaze,
    find_ports,
    list_devices,
    mode_lines,
)
from emer_edge.tools.simulate.opengaze_server import OpenGazeServer


def node(root: Path, number: int, name: str, index: int = 0) -> None:
    """A camera as the kernel lists it; its device file is a plain file, which answers no question."""
    folder = root / f"sys/class/video4linux/video{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    (folder / "index").write_text(f"{index}\n")
    device = root / f"dev/video{number}"
    device.parent.mkdir(exist_ok=True)
    device.touch()


def test_cameras_are_listed_by_number_with_their_stable_path(tmp_path: Path) -> None:
    node(tmp_path, 10, "Second Camera")
    node(tmp_path, 2, "First Camera: First Cam")
    node(tmp_path, 3, "First Camera: First Cam", index=1)
    by_id = tmp_path / "dev/v4l/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-Maker_First-video-index0").symlink_to("../../video2")
    first, second = find_cameras(tmp_path)
    assert (first.kind, first.name) == ("camera", "First Camera: First Cam")
    assert first.argument == f"--camera {by_id}/usb-Maker_First-video-index0"
    assert second.argument == f"--camera {tmp_path}/dev/video10"
    assert first.problem is not None
    assert "does not answer as a camera" in first.problem


def test_csi_sensors_are_counted_among_the_nodes(tmp_path: Path) -> None:
    node(tmp_path, 0, "vi-output, imx219 9-0010")
    node(tmp_path, 1, "USB Camera")
    node(tmp_path, 2, "vi-output, imx477 10-001a")
    devices = find_cameras(tmp_path)
    assert [device.argument for device in devices if "csi://" in device.argument] == [
        "--camera csi://0",
        "--camera csi://1",
    ]
    assert [device.name for device in devices] == ["imx219", "USB Camera", "imx477"]


def test_a_node_that_a_container_lacks_is_said(tmp_path: Path) -> None:
    node(tmp_path, 0, "USB Camera")
    (tmp_path / "dev/video0").unlink()
    (device,) = find_cameras(tmp_path)
    assert device.problem is not None
    assert "container" in device.problem


def test_modes_are_listed_largest_first() -> None:
    motion_jpeg = (Mode("MJPG", 160 * n, 120 * n, (30.0, 15.0)) for n in range(1, 9))
    first, second = mode_lines((*motion_jpeg, Mode("YUYV", 640, 480, ())))
    assert first.startswith("MJPG: 1280x960 at 30, ")
    assert first.endswith(" and 2 smaller")
    assert second == "YUYV: 640x480"


@needs("cc")
def test_questions_are_laid_out_as_the_kernel_lays_them_out(tmp_path: Path) -> None:
    structures = {
        "VIDIOC_QUERYCAP": ("v4l2_capability", ("card", "bus_info", "capabilities", "device_caps")),
        "VIDIOC_ENUM_FMT": ("v4l2_fmtdesc", ("type", "description", "pixelformat")),
        "VIDIOC_ENUM_FRAMESIZES":
            ("v4l2_frmsizeenum", ("type", "discrete.height", "stepwise.max_width", "stepwise.max_height")),
        "VIDIOC_ENUM_FRAMEINTERVALS":
            ("v4l2_frmivalenum", ("width", "type", "discrete.denominator", "stepwise.min.denominator")),
    }  # fmt: skip
    offsets = {
        "VIDIOC_QUERYCAP": (16, 48, 84, 88),
        "VIDIOC_ENUM_FMT": (4, 12, 44),
        "VIDIOC_ENUM_FRAMESIZES": (8, 16, 16, 28),
        "VIDIOC_ENUM_FRAMEINTERVALS": (8, 16, 24, 24),
    }
    prints = []
    for name, (structure, fields) in structures.items():
        prints.append(f'printf("%lu %zu", (unsigned long){name}, sizeof(struct {structure}));')
        prints += [f'printf(" %zu", __builtin_offsetof(struct {structure}, {field}));' for field in fields]
        prints.append('printf("\\n");')
    source = tmp_path / "sizes.c"
    source.write_text(f"#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {{ {' '.join(prints)} }}\n")
    subprocess.run(["cc", str(source), "-o", str(tmp_path / "sizes")], check=True)
    lines = subprocess.run([str(tmp_path / "sizes")], capture_output=True, text=True, check=True).stdout.splitlines()
    for name, line in zip(structures, lines, strict=True):
        number, size, *places = (int(number) for number in line.split())
        assert (request_number(name), LAYOUTS[name][2].size) == (number, size), name
        assert tuple(places) == offsets[name], name


def test_what_is_no_camera_is_an_os_error() -> None:
    with pytest.raises(OSError, match="ioctl"):
        query_node(Path("/dev/null"))


def test_ports_are_listed_by_the_link_that_stays(tmp_path: Path) -> None:
    (tmp_path / "serial/by-id").mkdir(parents=True)
    for name in ("ttyUSB1", "ttyACM0", "ttyS0", "tty1"):
        (tmp_path / name).touch()
    link = tmp_path / "serial/by-id/usb-FTDI_Tracker_7-if00-port0"
    link.symlink_to("../../ttyUSB1")
    devices = find_ports(tmp_path)
    assert [device.argument for device in devices] == [f"--tracker {tmp_path}/ttyACM0", f"--tracker {link}"]
    assert devices[1].details == (f"{tmp_path}/ttyUSB1",)
    assert all(device.problem is None for device in devices)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: looking through another user's eyes")
def test_a_device_of_another_group_names_the_group_to_join(tmp_path: Path) -> None:
    import grp

    group = next(group for group in grp.getgrall() if group.gr_name in ("dialout", "video", "daemon"))
    path = tmp_path / "ttyUSB0"
    path.touch()
    os.chown(path, 0, group.gr_gid)
    path.chmod(0o660)
    for parent in path.parents[:-2]:
        parent.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from emer_edge.tools.devices import access_problem\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); print(access_problem(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert f"sudo usermod -aG {group.gr_name} $USER" in done.stdout
    assert access_problem(path) is None


def test_an_open_gaze_server_is_found_by_its_answer() -> None:
    server = OpenGazeServer(Display(), 60.0)
    try:
        port = int(server.address.rpartition(":")[2])
        (device,) = find_open_gaze(port=port)
    finally:
        server.unplug()
    assert device.argument == f"--tracker opengaze://localhost:{port}"
    assert (device.name, device.details) == ("SIMULATED", ("60 Hz",))
    assert find_open_gaze(port=port) == []


def test_lsl_streams_are_found_by_type() -> None:
    pytest.importorskip("pylsl", reason="pylsl is not installed")
    from emer_edge.tools.simulate.transport import LslOutlet

    name = unique("left lab")
    outlet = LslOutlet(Display(), 120.0, name)
    try:
        by_argument = {device.argument: device for device in find_lsl(2.0)}
    finally:
        outlet.unplug()
    device = by_argument[f"--tracker lsl://{quote(name)}"]
    assert device.name == name
    assert "120 Hz" in device.details[0]


FOUND = Devices(
    (
        Device("camera", "USB Camera", "--camera /dev/video0", ("MJPG: 640x480 at 30",)),
        Device("tracker", "Adapter", "--tracker /dev/ttyUSB0", (), "this user may not open it"),
    ),
    (),
)


def test_devices_are_listed_with_their_arguments_and_problems() -> None:
    lines = list(device_lines(FOUND))
    assert lines[0] == "cameras"
    assert "    --camera /dev/video0" in lines
    assert lines[-1] == "    PROBLEM: this user may not open it"
    assert asdict(FOUND)["devices"][0]["argument"] == "--camera /dev/video0"


def test_nothing_found_says_what_to_check() -> None:
    listed = list_devices()
    kinds = {device.kind for device in listed.devices}
    assert len(listed.hints) == 2 - len(kinds)
    for hint in listed.hints:
        assert "container" in hint
    assert list(device_lines(Devices((), ("check this",)))) == ["check this"]
