"""Checkpoints: those of this project, which describe themselves, published ones without metadata, and the demo's.

Tensors are read out of files that anybody may have written, and compared with what a network needs. The demo checkpoint
ships with the package, trained on synthetic clips, to try the tools with. Its backbone is the packaged face encoder
(`emer_edge.model.separable`): the file holds the other tensors, matrices as float16, and the metadata as JSON in the
safetensors header.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.core.whole_file import Target, whole_file
from emer_edge.core.window import WindowSpec
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import FORMAT, CheckpointMetadata, published_heads, variant_of
from emer_edge.model.saved_files import read_pickle
from emer_edge.model.separable import packaged_sha256, packaged_tensors
from emer_edge.model.wrappings import Weights, find_weights, nearest, usable

DEMO_HEADER: Final = "emer-edge"
"""Key of the metadata in a demo checkpoint's header."""

_PACKAGED: Final = "assets/demo.safetensors"
BACKBONE: Final = "subnet.f_extractor."
"""Prefix of the backbone's tensors in a network."""


def write_pickle(path: Path | Target, content: Mapping[str, Any]) -> None:
    """Write with torch.save under a temporary name, then rename; raise CheckpointError when the disk refuses."""
    try:
        with whole_file(path) as unfinished:
            torch.save(dict(content), unfinished)
    except (OSError, RuntimeError) as error:
        where = path.path if isinstance(path, Target) else path
        why = error.strerror if isinstance(error, OSError) else "the disk took only a part of it; is it full?"
        raise CheckpointError(f"can't write {where}: {why}") from None


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: object, what: str) -> None:
    """Copy tensors into a network.

    Args:
        network: receives the tensors, as float32 where they are floating.
        tensors: name -> tensor.
        path: where they come from, for messages.
        what: what they should be, for messages: "the discrete variant of EMERT".

    Raises:
        CheckpointError: one message listing every missing, surplus and misshapen tensor, every one that is not finite
            (in 32 bits), and every one that is sparse, quantised, complex, without data, or of integers.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    surplus = [name for name in tensors if name not in expected]
    common = {name: tensors[name] for name in expected if name in tensors}
    plain = {
        name: tensor.to(expected[name].dtype)
        for name, tensor in common.items()
        if usable(tensor) and (tensor.is_floating_point() or not expected[name].is_floating_point())
    }
    faults = {
        "missing": missing,
        "surplus": surplus,
        "misshapen": [
            f"{name} is {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
            for name, tensor in common.items()
            if tensor.shape != expected[name].shape
        ],
        "of another kind than plain real numbers": [
            f"{name} is {str(tensor.dtype).removeprefix('torch.')}, {tensor.layout}, {tensor.device}".replace(
                ", torch.strided, cpu", ""
            )
            for name, tensor in common.items()
            if name not in plain
        ],
        "not finite": [name for name, tensor in plain.items() if not torch.isfinite(tensor).all()],
    }
    if any(faults.values()):
        listed = (f"{fault} ({len(names)}): {', '.join(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(f"{path} does not fit {what}; {'; '.join(listed)}{nearest(missing, surplus)}")
    network.load_state_dict(plain)


def save_checkpoint(path: Path | Target, model: Emert, metadata: CheckpointMetadata) -> None:
    """Write a network and its metadata; CheckpointError when the disk refuses."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
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
    document = {name: value for name, value in content.items() if name != "tensors"}
    metadata = CheckpointMetadata.from_builtins(document, str(path))
    return _network(metadata, content.get("tensors"), path), metadata


def _network(metadata: CheckpointMetadata, tensors: Any, path: Path) -> Emert:
    model = Emert(metadata.variant, metadata.heads, metadata.classes, metadata.face_network)
    what = f"its own description, the {metadata.variant} variant"
    fill(model, find_weights(tensors, model.state_dict(), path, what=what)[0], path, what)
    return model.eval()


def load_published(
    path: Path,
    head: str,
    classes: Sequence[str] | None = None,
    *,
    weights: Weights | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Emert:
    """Read a published checkpoint.

    Args:
        path: a state dict, in whatever a training tool put around it (`emer_edge.model.wrappings`).
        head: what it predicts; `fer-intensity` predicts `fer-7` too.
        classes: class names in the order of its outputs; the project's own order by default.
        weights: raw or averaged ones; None takes the raw ones where the file holds both, and notes it.
        note: hears which weights were taken, and of 16-bit ones.

    Returns:
        The network in evaluation mode.

    Raises:
        CheckpointError: missing, damaged, unsafe, or the tensors do not fit; all of them are listed.
        ConfigurationError: an unknown head, or other classes than the head has.
    """
    heads = published_heads(head)
    content = read_pickle(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of emer-edge and names its heads: pass --checkpoint {path}")
    variant = variant_of(head)
    model = Emert(variant, heads, {heads[0]: classes} if classes else None)
    what = f"the {variant} variant of EMERT, which predicts {head}"
    tensors, which = find_weights(content, model.state_dict(), path, what=what, wanted=weights)
    fill(model, tensors, path, what)
    if which:
        note(which)
    half = sorted({str(one.dtype).removeprefix("torch.") for one in tensors.values() if 0 < one.itemsize < 4})
    if half:
        note(f"{path} holds weights in {' and '.join(half)}: figures differ from those of the network that was trained")
    return model.eval()


def metadata_of(model: Emert) -> CheckpointMetadata:
    """Describe a network of which nothing else is known: a published checkpoint, trained on EMER's own sheets."""
    return CheckpointMetadata(
        variant=model.variant.name,
        heads=model.head_names,
        classes=model.classes,
        standardised=model.standardised,
        events="published",
        window=WindowSpec(),
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
    arguments: Sequence[str],
    classes: Mapping[str, Sequence[str]] | None = None,
    *,
    weights: Weights | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> tuple[tuple[Emert, CheckpointMetadata], ...]:
    """Open the arguments of `--checkpoint`: PATH of a network that describes itself, HEAD=PATH of a published one.

    Args:
        arguments: as typed.
        classes: head -> class names in output order, for published checkpoints.
        weights: as of `load_published`.
        note: as of `load_published`.

    Returns:
        One network and its metadata per file; no head occurs twice.

    Raises:
        ConfigurationError: no argument, or a head of two files.
        CheckpointError: a file can't be used.
    """
    parsed = [parse_checkpoint_argument(argument) for argument in arguments]
    if not parsed:
        raise ConfigurationError("no checkpoint given; pass --checkpoint PATH or HEAD=PATH")
    opened = []
    for head, path in parsed:
        if head is None:
            if weights is not None:
                raise ConfigurationError(f"--weights is for published checkpoints; {path} has one set: leave it out")
            opened.append(load_checkpoint(path))
            continue
        order = (classes or {}).get(published_heads(head)[0])
        model = load_published(path, head, order, weights=weights, note=note)
        opened.append((model, metadata_of(model)))
    heads = [name for model, _ in opened for name in model.head_names]
    if twice := sorted({name for name in heads if heads.count(name) > 1}):
        also = [
            f" ({head} predicts {names[0]} too)"
            for head, names in ((head, published_heads(head)) for head, _ in parsed if head is not None)
            if names[0] in twice and len(names) > 1
        ]
        raise ConfigurationError(f"more than one checkpoint predicts {', '.join(twice)}{''.join(also)}; leave one out")
    return tuple(opened)


def load_demo_checkpoint(path: Path | None = None) -> tuple[Emert, CheckpointMetadata]:
    """Read a demo checkpoint, by default the packaged one.

    Returns:
        The network in evaluation mode, and its metadata with `demo` set.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    if path is None:
        with as_file(files("emer_edge.model").joinpath(_PACKAGED)) as packaged:
            return load_demo_checkpoint(packaged)
    if not path.is_file():
        raise CheckpointError(f"there is no demo checkpoint {path}; install emer-edge again")
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get(DEMO_HEADER, "null")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        document = json.loads(written)
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is no demo checkpoint, or it is damaged: {error}") from None
    metadata = CheckpointMetadata.from_builtins(document, str(path))
    if metadata.backbone != packaged_sha256():
        raise CheckpointError(
            f"{path} was trained on another face encoder than the packaged one; install emer-edge again"
        )
    encoder = {BACKBONE + name: tensor for name, tensor in packaged_tensors().items()}
    return _network(metadata, {**tensors, **encoder}, path), metadata
