"""What a file is that was given as a checkpoint: tensors and plain values of torch.save, or something else, by name."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import torch

from emer_edge.core.errors import CheckpointError

_HEAD_BYTES: Final = 4096
_KINDS: Final = (  # how other files begin, what they are, and what to do
    (rb"\x89HDF\r\n", "an HDF5 file, as of Keras", "save the state dict with PyTorch: {save}"),
    (rb"\x93NUMPY", "a NumPy array", "save the state dict with PyTorch: {save}"),
    (rb"GGUF", "a GGUF file", "save the state dict with PyTorch: {save}"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a compressed archive", "unpack it first"),
    (
        rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]",
        "an ONNX model",
        "export makes one itself: give the checkpoint",
    ),
    (
        rb"\x80[\x00-\x05](?!\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19)",
        "a plain pickle, which could run code",
        "write it with {save}",
    ),
    (rb".{4}(?:ET|TFL)\d\d?", "a program for a phone (ExecuTorch, TFLite)", "save the state dict: {save}"),
)
_SAVE: Final = "torch.save(model.state_dict(), path)"


class _Unread:
    """Stands for a value beside the tensors (a metric, a path, options), of which nothing is run and nothing kept."""

    def __init__(self, *_: object) -> None:
        pass

    def __new__(cls, *_: object) -> _Unread:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


_UNREAD: Final = (
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *("numpy.dtype", "numpy.ndarray", "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"),
    *(f"numpy.dtypes.{name}DType" for name in ("Bool", "Object", "Str", "Float16", "Float32", "Float64")),
    *(f"numpy.dtypes.{sign}Int{bits}DType" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    *(f"pathlib.{module}{kind}Path" for module in ("", "_local.") for kind in ("Posix", "Windows", "PurePosix")),
    *("argparse.Namespace", "datetime.datetime", "datetime.timedelta", "types.SimpleNamespace"),
)


def read_pickle(path: Path) -> Any:
    """Load a file that torch.save wrote, tensors and plain values only, to the CPU.

    Numbers of NumPy, paths and options beside the tensors are passed over; nothing in the file is run.

    Raises:
        CheckpointError: there is no such file, it is of another kind (a web page, a pointer of Git LFS, TorchScript,
            ONNX ...), it is damaged, or it holds objects that could run code.
    """
    if not path.is_file():
        folder = " file: it is a folder, name the file in it" if path.is_dir() else "; check the path"
        raise CheckpointError(f"there is no checkpoint {path}{folder}")
    try:
        if (kind := _other_kind(path)) is not None:
            raise CheckpointError(f"{path} is {kind}")
        with warnings.catch_warnings(), torch.serialization.safe_globals([(_Unread, name) for name in _UNREAD]):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        if named := ", ".join(dict.fromkeys(re.findall(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error)))):
            raise CheckpointError(
                f"{path} holds Python objects ({named}) besides tensors; loading them could run code, so it was "
                f"refused; save the state dict alone: {_SAVE}"
            ) from None
        raise CheckpointError(f"{path} is not a checkpoint, or it is damaged; copy or save it again") from None
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can fail anywhere inside the reader
        raise CheckpointError(
            f"{path} is not a checkpoint, or it is damaged ({type(error).__name__}); copy or save it again"
        ) from None


def _other_kind(path: Path) -> str | None:
    """What a file is instead of a checkpoint, and what to do; None where it may be one."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "an empty file; copy or save it again"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            larger = sum(member.file_size for member in archive.infolist()) > path.stat().st_size
            bomb = f"an archive that unpacks to more than its size, unlike those of torch.save; write it with {_SAVE}"
            return _other_archive(archive.namelist()) or (bomb if larger else None)
    for begins, kind, advice in _KINDS:
        if re.match(begins, head, re.DOTALL):
            return f"{kind}; {advice.format(save=_SAVE)}"
    text = head.decode("utf-8", "replace").rstrip("\ufffd").lstrip("\ufeff \t\r\n")
    if pointer := re.match(r"version https://git-lfs\S*\noid \S+\nsize (\d+)", text):
        return f"a pointer of Git LFS to a file of {pointer[1]} bytes; fetch that with `git lfs pull`"
    if re.match(r"(?i)<(?:!doctype|html|head|\?xml)", text):
        title = re.search(r"(?is)<(title|message)>(.*?)</\1>", text)
        named = f" ({' '.join(title[2].split())[:80]})" if title else ""
        return f"a web page{named}, not what was to be downloaded; download it in a browser"
    if text and all(line.isprintable() and "\ufffd" not in line for line in text.splitlines()):
        return f"a text, which begins with {text.splitlines()[0][:60]!r}; copy or download the checkpoint again"
    return None


def _other_archive(names: list[str]) -> str | None:
    files = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in files:
        return "a TorchScript program; save the state dict of its model: torch.save(torch.jit.load(path).state_dict())"
    if "data.pkl" in files:
        return None
    if any(name.endswith(".npy") for name in files):
        return f"an archive of NumPy arrays; save the state dict with PyTorch: {_SAVE}"
    listed = ", ".join(names[:3])
    return f"a zip archive of {listed}; unpack it, and give the checkpoint in it" if names else "an empty archive"
