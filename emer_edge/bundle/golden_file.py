"""`golden.npz`: inputs of every part, and its outputs on the machine that exported it.

A device replays them and must give the same outputs, up to the rounding of its own arithmetic. The inputs are seeded
patterns and numbers in EMER's ranges, without any face.

The file is a NumPy archive without pickles, all float32. `in/<part>/<tensor>` holds a part's inputs, the same for both
variants and all precisions, `out/<variant>/<part>/<tensor>` its outputs, and `end/<number>/<head>` what a combination
of the manifest makes of the faces, from end to end.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.variants import VARIANTS, Variant
from emer_edge.core.errors import BundleError

GOLDEN_NAME: Final = "golden.npz"

LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.1}
"""Precision -> largest difference allowed, as a share of the output's largest value.

FP32 leaves room for TensorFloat-32 and other orders of summation, INT8 for activations that round to the neighbouring
step. A wrong channel order, scale or file differs by around 1.
"""

_LARGEST_BYTES: Final = 256 << 20  # of all tensors, before anything is unpacked
_MOST_TENSORS: Final = 4096

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs and outputs of the parts.

    Attributes:
        inputs: part -> tensor -> float32 array.
        outputs: (variant, part) -> tensor -> float32 array.
        ends: number of a combination -> head -> (N, C) raw outputs; empty in older bundles.
    """

    inputs: Mapping[str, Tensors]
    outputs: Mapping[tuple[Variant, str], Tensors]
    ends: Mapping[int, Tensors] = field(default_factory=dict)


def write_golden(golden: Golden) -> bytes:
    """Encode as a NumPy archive, compressed."""
    arrays: dict[str, NDArray[Any]] = {}
    for part, tensors in golden.inputs.items():
        arrays |= {f"in/{part}/{name}": tensor for name, tensor in tensors.items()}
    for (variant, part), tensors in golden.outputs.items():
        arrays |= {f"out/{variant}/{part}/{name}": tensor for name, tensor in tensors.items()}
    for number, tensors in golden.ends.items():
        arrays |= {f"end/{number}/{name}": tensor for name, tensor in tensors.items()}
    return archive_of(arrays)


def archive_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode arrays by their names as a NumPy archive, compressed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the names for parameters
    return buffer.getvalue()


def read_archive(content: bytes, where: str) -> Tensors:
    """The arrays of an archive by their names.

    Args:
        content: of the file.
        where: what it is called in messages.

    Raises:
        BundleError: it is damaged, holds another type than float32, numbers that are not finite, or more than 256 MB
            once it is unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sizes = [member.file_size for member in archive.infolist()]
        if sum(sizes) > _LARGEST_BYTES or len(sizes) > _MOST_TENSORS:
            raise BundleError(
                f"{where} would unpack to {len(sizes)} tensors of {sum(sizes) >> 20} MB, more than any export writes; "
                "don't use this bundle"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as opened:
            arrays = {key: opened[key] for key in opened.files}
    except BundleError:
        raise
    except Exception as error:  # zip, zlib and NumPy share no exception
        raise BundleError(f"can't read {where}: {error}; export the bundle again") from None
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not np.isfinite(array).all():
            raise BundleError(f"{where}: {key} is not finite float32; export the bundle again")
    return arrays


def read_golden(content: bytes, where: str = GOLDEN_NAME) -> Golden:
    """Read the content of `golden.npz`, which is called `where` in messages.

    Raises:
        BundleError: it holds an unknown name, and as `read_archive`.
    """
    inputs: dict[str, Tensors] = {}
    outputs: dict[tuple[Variant, str], Tensors] = {}
    ends: dict[int, Tensors] = {}
    for key, array in read_archive(content, where).items():
        match key.split("/"):
            case ["in", part, name]:
                inputs.setdefault(part, {})[name] = array
            case ["out", variant, part, name] if variant in VARIANTS:
                outputs.setdefault((variant, part), {})[name] = array
            case ["end", number, head] if number.isdecimal():
                ends.setdefault(int(number), {})[head] = array
            case _:
                raise BundleError(f"{where} holds {key!r}, unknown to this emer-edge; upgrade emer-edge")
    return Golden(inputs, outputs, ends)
