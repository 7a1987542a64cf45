"""Checkpoints: those of this project, which describe themselves, and published ones, which say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from emer_edge.errors import CheckpointError, ConfigurationError
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import FORMAT, CheckpointMetadata
from emer_edge.model.tensors import fill, read_pickle, state_dict_in, write_pickle
from emer_edge.model.variants import variant_of
from emer_edge.spec.window import WindowSpec

__all__ = [
    "load_checkpoint",
    "load_published",
    "metadata_of",
    "open_checkpoints",
    "parse_checkpoint_argument",
    "save_checkpoint",
]


def save_checkpoint(path: Path, model: Emert, metadata: CheckpointMetadata) -> None:
    """Write a network and its metadata, under a temporary name first."""
    tensors = {name: each.detach().cpu().contiguous() for name, each in model.state_dict().items()}
    write_pickle(path, {**metadata.to_builtins(), "tensors": tensors})


def load_checkpoint(path: Path) -> tuple[Emert, CheckpointMetadata]:
    """Read a checkpoint of this project.

    Returns:
        The network in evaluation mode, and its metadata.

    Raises:
        CheckpointError: missing, damaged, unsafe, or not a checkpoint of this project.
    """
    content = read_pickle(path)
    if not isinstance(content, dict) or not isinstance(content.get("format"), str):
        raise CheckpointError(
            f"{path} does not describe itself, so it is no checkpoint of emer-edge; "
            f"if it is a published one, say which head it predicts: --checkpoint er-7={path}"
        )
    document = {name: each for name, each in content.items() if name != "tensors"}
    metadata = CheckpointMetadata.from_builtins(document, str(path))
    model = Emert(metadata.variant, metadata.heads, metadata.classes)
    tensors = state_dict_in(content.get("tensors"), path)
    fill(model, tensors, path, f"its own description, the {metadata.variant} variant")
    return model.eval(), metadata


def load_published(path: Path, head: str, classes: Sequence[str] | None = None) -> Emert:
    """Read a published checkpoint.

    Args:
        path: a state dict, bare or under `state_dict` or `model`, with or without `module.` before its names.
        head: what it predicts; `fer-intensity` predicts `fer-7` too.
        classes: class names in the order of its outputs; the project's own order by default.

    Returns:
        The network in evaluation mode.

    Raises:
        CheckpointError: missing, damaged, unsafe, or the tensors do not fit; all of them are listed.
        ConfigurationError: an unknown head, or other classes than the head has.
    """
    variant = variant_of(head)
    content = read_pickle(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of emer-edge and names its heads: pass --checkpoint {path}")
    heads = None if variant == "intensity" else (head,)
    class_head = "fer-7" if variant == "intensity" else head
    model = Emert(variant, heads, {class_head: classes} if classes and variant != "va" else None)
    fill(model, state_dict_in(content, path), path, f"the {variant} variant of EMERT, which predicts {head}")
    return model.eval()


def metadata_of(model: Emert, window: WindowSpec | None = None) -> CheckpointMetadata:
    """Describe a network of which nothing else is known: a published checkpoint, trained on EMER's own sheets."""
    return CheckpointMetadata(
        variant=model.variant.name,
        heads=model.head_names,
        classes=model.classes,
        standardised=model.standardised,
        events="published",
        window=window or WindowSpec(),
        research_only=True,
        versions={"torch": str(torch.__version__)},
    )


def parse_checkpoint_argument(text: str) -> tuple[str | None, Path]:
    """Split `HEAD=PATH`; a PATH alone has no head. A head is checked, so that a path may hold an equals sign."""
    name, equals, rest = text.partition("=")
    if not equals or Path(text).exists():
        return None, Path(text)
    if "/" in name or not rest:
        raise ConfigurationError(f"can't read --checkpoint {text}; write PATH or HEAD=PATH, such as er-7=a.pth")
    variant_of(name)
    return name, Path(rest)


def open_checkpoints(
    arguments: Sequence[str], classes: Mapping[str, Sequence[str]] | None = None
) -> tuple[tuple[Emert, CheckpointMetadata], ...]:
    """Open what `--checkpoint` was given: PATH of a network that describes itself, HEAD=PATH of a published one.

    Args:
        arguments: as typed.
        classes: head -> class names in output order, for published checkpoints.

    Returns:
        A network and its metadata per file; no head comes twice.

    Raises:
        ConfigurationError: no argument, or a head given twice.
        CheckpointError: a file can't be used.
    """
    parsed = [parse_checkpoint_argument(each) for each in arguments]
    if not parsed:
        raise ConfigurationError("no checkpoint given; pass --checkpoint PATH or HEAD=PATH")
    opened = []
    for head, path in parsed:
        if head is None:
            opened.append(load_checkpoint(path))
            continue
        order = (classes or {}).get("fer-7" if head == "fer-intensity" else head)
        model = load_published(path, head, order)
        opened.append((model, metadata_of(model)))
    heads = [name for model, _ in opened for name in model.head_names]
    twice = sorted({name for name in heads if heads.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"more than one checkpoint predicts {', '.join(twice)}"
            + (" (fer-intensity predicts fer-7 too)" if "fer-7" in twice else "")
            + "; leave one out"
        )
    return tuple(opened)
