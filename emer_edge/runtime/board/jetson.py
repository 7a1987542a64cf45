"""Which Jetson this is, what it was flashed with, and its power mode."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.runtime.board.files import read_text

__all__ = ["Jetson", "PowerMode", "read_jetson", "read_l4t"]

_JETPACKS: Final[Mapping[str, str]] = {"32": "4", "35": "5", "36": "6", "38": "7"}
_MODE: Final = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_INSTALLED: Final = re.compile(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: ([\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class PowerMode:
    """A power mode.

    Attributes:
        number: what `nvpmodel -m` takes.
        name: for example `MAXN` or `15W`.
    """

    number: int
    name: str


@dataclass(frozen=True)
class Jetson:
    """A board.

    Attributes:
        model: for example `NVIDIA Jetson Orin NX Engineering Reference Developer Kit`.
        l4t: release of Jetson Linux, for example `36.4.3`.
        jetpack: for example `6.2`, or the major version alone where JetPack's package is not installed; None where
            the release is not known here.
        mode: power mode that is set, None where it can't be read.
        fastest: the mode with the most power, None where the modes can't be read.
    """

    model: str
    l4t: str
    jetpack: str | None
    mode: PowerMode | None
    fastest: PowerMode | None


def read_l4t(root: Path = Path("/")) -> str | None:
    """`# R36 (release), REVISION: 3.0, ...` of /etc/nv_tegra_release -> `36.3.0`; None on other machines."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release") or "")
    return f"{found[1]}.{found[2]}" if found else None


def read_jetson(root: Path = Path("/")) -> Jetson | None:
    """Describe the board; None where this is no Jetson.

    The power modes are those of /etc/nvpmodel.conf, the one that is set is `pmode:0002` of /var/lib/nvpmodel/status,
    which nvpmodel writes.
    """
    l4t = read_l4t(root)
    if l4t is None:
        return None
    modes = _modes(read_text(root / "etc/nvpmodel.conf") or "")
    set_to = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    number = int(set_to[1]) if set_to else -1
    installed = _INSTALLED.search(read_text(root / "var/lib/dpkg/status") or "")
    return Jetson(
        model=read_text(root / "proc/device-tree/model") or "a Jetson",
        l4t=l4t,
        jetpack=installed[1] if installed else _JETPACKS.get(l4t.partition(".")[0]),
        mode=next((each for each in modes if each.number == number), None),
        fastest=max(modes, key=_power, default=None),
    )


def _modes(text: str) -> list[PowerMode]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [PowerMode(int(number), name) for number, name in _MODE.findall(lines)]


def _power(mode: PowerMode) -> tuple[bool, bool, int]:
    """Sorts by power: MAXN_SUPER, MAXN, then the watts in the name."""
    watts = re.search(r"(\d+)W", mode.name)
    return mode.name.startswith("MAXN_SUPER"), mode.name.startswith("MAXN"), int(watts[1]) if watts else 0
