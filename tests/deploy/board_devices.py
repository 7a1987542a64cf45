"""Character devices of Jetsons, as the second column of /proc/devices has them.

Derived, not recorded: from the names that NVIDIA's drivers register (nvgpu's ioctl.c takes dev_name() of the platform
device; nvhost, nvmap and host1x-fence/dev.c their own; the open GPU driver's nv.c and uvm.c `nvidia` and `nvidia-uvm`)
and from the kernel's own (drm, media, video4linux, ttyUSB ...). Nobody has sent a recording yet; which nodes CUDA opens
on r36 (/dev/nvmap, /dev/nvgpu/igpu0/*, /dev/dri/renderD128, /dev/host1x-fence) was read in a public trace.
"""

from __future__ import annotations

COMMON = (
    *(
        "mem",
        "pty",
        "ttyp",
        "/dev/vc/0",
        "tty",
        "ttyS",
        "/dev/tty",
        "/dev/console",
        "/dev/ptmx",
        "vcs",
        "misc",
        "input",
    ),
    *(
        "fb",
        "video4linux",
        "i2c",
        "ptm",
        "pts",
        "usb",
        "usb_device",
        "media",
        "drm",
        "ttyACM",
        "ttyUSB",
        "ttyTHS",
        "rtc",
    ),
    *("hidraw", "watchdog", "bsg", "cec", "gpiochip", "tpm", "spi", "ptp", "iio", "nvme", "sg"),
)
GPU = {
    "r35, Orin": ("17000000.ga10b", "nvhost", "drm"),  # nvmap is a miscellaneous device there, allowed by its path
    "r35, Xavier": ("17000000.gv11b", "nvhost", "drm"),
    "r36.4": ("17000000.gpu", "nvhost", "host1x-fence", "nvmap", "drm"),
    "r38, Thor": ("nvidia", "nvidia-uvm", "nvidia-caps", "nvidiactl", "nvmap", "host1x-fence", "drm"),
}
"""Release -> what a process that uses CUDA has to open."""

SENSORS = ("video4linux", "media", "ttyUSB", "ttyACM", "ttyTHS", "pts")
"""What a run has to open, besides."""
