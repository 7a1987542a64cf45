"""Reading tensors out of files that anybody may have written, and comparing them with what a network needs."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emer_edge.errors import CheckpointError

__all__ = ["fill", "read_pickle", "state_dict_in", "write_pickle"]

_WRAPPERS = ("state_dict", "model")
_PREFIX = "module."


def read_pickle(path: Path) -> Any:
    """Load a file that torch.save wrote, tensors and plain values only, to the CPU.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it holds objects that could run code.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise CheckpointError(
                f"{path} holds Python objects besides tensors; loading them could run code, so it was refused; "
                "save the state dict alone: torch.save(model.state_dict(), path)"
            ) from None
        raise CheckpointError(f"{path} is not a checkpoint, or it is damaged; copy or save it again") from None
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can fail anywhere inside the reader
        raise CheckpointError(
            f"{path} is not a checkpoint, or it is damaged ({type(error).__name__}); copy or save it again"
        ) from None


def write_pickle(path: Path, content: Mapping[str, Any]) -> None:
    """Write with torch.save under a temporary name, then rename; raise CheckpointError when the disk refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(dict(content), temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"can't write {path}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def state_dict_in(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the state dict: bare, or under `state_dict` or `model`, with or without `module.` before its names."""
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content or not all(isinstance(each, str) for each in content):
        raise CheckpointError(f"{path} holds no state dict; save one: torch.save(model.state_dict(), path)")
    others = [name for name, each in content.items() if not isinstance(each, Tensor)]
    if others:
        raise CheckpointError(
            f"{path} holds no state dict, but {', '.join(others[:5])}; save one: torch.save(model.state_dict(), path)"
        )
    if all(name.startswith(_PREFIX) for name in content):
        return {name.removeprefix(_PREFIX): each for name, each in content.items()}
    return dict(content)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: object, what: str) -> None:
    """Copy tensors into a network.

    Args:
        network: receives the tensors, as float32 where they are floating.
        tensors: name -> tensor.
        path: where they come from, for messages.
        what: what they should be, for messages: "the discrete variant of EMERT".

    Raises:
        CheckpointError: one message listing every missing, surplus and misshapen tensor and every one that is not
            finite; or saying that these are the tensors of another network.
    """
    expected = network.state_dict()
    common = expected.keys() & tensors.keys()
    if len(common) * 2 < len(expected):
        seen = ", ".join(sorted(tensors)[:4])
        raise CheckpointError(
            f"{path} is a checkpoint of another network: {len(common)} of the {len(expected)} tensors of {what} "
            f"are in it; it holds {seen}, ..."
        )
    faults = []
    missing = [name for name in expected if name not in tensors]
    surplus = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} is {tuple(tensors[name].shape)} instead of {tuple(each.shape)}"
        for name, each in expected.items()
        if name in common and tensors[name].shape != each.shape
    ]
    broken = [name for name in tensors if name in common and not torch.isfinite(tensors[name]).all()]
    for label, names in (("missing", missing), ("surplus", surplus), ("misshapen", misshapen), ("not finite", broken)):
        if names:
            faults.append(f"{label} ({len(names)}): {', '.join(names)}")
    if faults:
        raise CheckpointError(f"{path} does not fit {what}; {'; '.join(faults)}")
    network.load_state_dict({name: tensors[name].to(each.dtype) for name, each in expected.items()})
