"""A network's tensors in what a training tool saved, whatever it put around them.

Folders in folders of tensors and what stands before their names are taken off by structure: a set of weights is where
the network's own names follow one and the same beginning. `module.`, `_orig_mod.` and their like may also stand within
names, where a part of the network was wrapped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal

import torch
from torch import Tensor

from emer_edge.core.errors import CheckpointError

Weights = Literal["raw", "ema"]
"""As the optimiser left them, or averaged over training."""

_WRAPPERS: Final = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
_AVERAGED: Final = re.compile(r"(?i)(?:^|[^a-z])(?:ema|swa|ewma|polyak)(?:$|[^a-z])|averag|shadow")
_LONGEST_LIST: Final = 3


@dataclass(frozen=True)
class WeightSet:
    """One set of weights in a file.

    Attributes:
        where: the keys and prefixes before its names, joined by dots.
        averaged: whether it is an average over training (EMA, SWA).
        tensors: name -> tensor; those the network has no name for among them.
        known: how many of the network's names it has.
    """

    where: tuple[str, ...]
    averaged: bool
    tensors: Mapping[str, Tensor]
    known: int

    def __str__(self) -> str:
        return ".".join(self.where) or "the top of the file"


def find_weights(
    content: Any, expected: Collection[str], path: object, what: str, wanted: Weights | None = None
) -> tuple[Mapping[str, Tensor], str]:
    """Find the weights of a network.

    Args:
        content: what the file holds.
        expected: the network's names.
        path: of the file, for messages.
        what: the network, for messages: "the discrete variant of EMERT".
        wanted: raw or averaged weights; None takes the raw ones where there are both.

    Returns:
        Name -> tensor, and a sentence about which were taken where the file leaves a choice or holds averages; else ''.

    Raises:
        CheckpointError: no tensors, those of another network, none of the wanted kind, or several sets.
    """
    leaves = list(_leaves(content))
    if not leaves:
        keys = f", but {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else ""
        raise CheckpointError(f"{path} holds no state dict{keys}; save one: torch.save(model.state_dict(), path)")
    sets = _sets(leaves, frozenset(expected))
    most = max((one.known for one in sets), default=0)
    if most * 2 < len(expected):
        raise CheckpointError(
            f"{path} is a checkpoint of another network: {most} of the {len(expected)} tensors of {what} are in it; "
            f"it holds {', '.join(leaf.name for leaf in leaves[:_LONGEST_LIST])}, ..."
            f"{nearest(list(expected), [leaf.name for leaf in leaves])}"
        )
    floor = len(expected) if most == len(expected) else len(expected) / 2  # a part of a network is none beside a whole
    sets = _distinct([one for one in sets if one.known >= floor])
    averaged = [one for one in sets if one.averaged]
    raw = [one for one in sets if not one.averaged]
    of_kind = {"raw": raw, "ema": averaged, None: raw or averaged}[wanted]
    if not of_kind:
        kind, other = ("averaged (EMA)", "raw") if wanted == "ema" else ("raw", "averaged (EMA)")
        raise CheckpointError(f"{path} holds no {kind} weights, only {other} ones; leave --weights {wanted} out")
    if len(of_kind) > 1:
        listed = ", ".join(map(str, of_kind))
        raise CheckpointError(
            f"{path} holds {len(of_kind)} networks of this kind, under {listed}; save the state dict of one of them"
        )
    taken = of_kind[0]
    if wanted is None and raw and averaged:
        others = ", ".join(map(str, averaged))
        return taken.tensors, f"{path}: raw weights ({taken}); averaged ones ({others}) are taken by --weights ema"
    return taken.tensors, f"{path}: averaged (EMA) weights ({taken})" if taken.averaged else ""


def nearest(names: Collection[str], among: Collection[str]) -> str:
    """Names with those they are most like, as a part of a message; empty where none is like any."""
    pairs = [(name, get_close_matches(name, list(among)[:1000], 1)) for name in list(names)[:_LONGEST_LIST]]
    listed = ", ".join(f"{name} is most like {close[0]}" for name, close in pairs if close)
    return f"; {listed}" if listed else ""


@dataclass(frozen=True)
class _Leaf:
    """A tensor: the parts of its whole name, and how many of them lead to the mapping that holds it."""

    keys: tuple[str, ...]
    depth: int
    tensor: Tensor

    @property
    def name(self) -> str:
        return ".".join(self.keys)


def _leaves(content: Any) -> Iterator[_Leaf]:
    """All tensors in mappings of mappings, each mapping once."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen: set[int] = set()
    while waiting:
        keys, node = waiting.pop()
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        named = [((*keys, *key.split(".")), value) for key, value in node.items() if isinstance(key, str)]
        yield from (_Leaf(names, len(keys), value) for names, value in named if isinstance(value, Tensor))
        waiting += reversed(named)


def _sets(leaves: Sequence[_Leaf], expected: frozenset[str]) -> list[WeightSet]:
    """Sets of tensors whose names are the expected ones after a common beginning; any share of them."""
    known: dict[tuple[str, ...], dict[str, Tensor]] = {}
    of: dict[int, tuple[str, ...]] = {}  # leaf -> the beginning of the set that it is in
    for number, leaf in enumerate(leaves):
        bare = [at for at, key in enumerate(leaf.keys) if key not in _WRAPPERS]
        for skipped, at in enumerate(bare):
            if (name := ".".join(leaf.keys[kept] for kept in bare[skipped:])) in expected:
                known.setdefault(leaf.keys[:at], {})[name] = leaf.tensor
                of[number] = leaf.keys[:at]
                break
    names = {leaf.keys for leaf in leaves}
    found = []
    for where, tensors in known.items():
        mappings = {leaf.keys[: leaf.depth] for number, leaf in enumerate(leaves) if of.get(number) == where}
        surplus = {
            ".".join(leaf.keys[len(where) :]): leaf.tensor
            for number, leaf in enumerate(leaves)
            if number not in of and leaf.keys[: len(where)] == where and leaf.keys[: leaf.depth] in mappings
        }
        found.append(WeightSet(where, _is_average(where, names), {**surplus, **tensors}, len(tensors)))
    return found


def _is_average(where: tuple[str, ...], names: Collection[tuple[str, ...]]) -> bool:
    """Whether a set is an average: by its own name, or by what its maker writes beside it.

    torch's AveragedModel counts beside its module. Lightning's WeightAveraging puts the average into `state_dict` and
    the raw weights into `current_model_state`; MMEngine's EMAHook puts the average there and the raw weights into
    `ema_state_dict`.
    """
    if ("ema_state_dict", "steps") in names and where[:1] in (("state_dict",), ("ema_state_dict",)):
        return where[0] == "state_dict"
    if ("averaging_state", "n_averaged") in names and where[:1] == ("state_dict",):
        return True
    counted = bool(where) and (*where[:-1], "n_averaged") in names
    return counted or any(map(_AVERAGED.search, where))


def _distinct(sets: Sequence[WeightSet]) -> list[WeightSet]:
    """Sets without those whose tensors an earlier one has, too."""
    kept: list[WeightSet] = []
    for one in sets:
        if not any(_equal(one.tensors, other.tensors) for other in kept):
            kept.append(one)
    return kept


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        tensor is other[name] or (usable(tensor) and usable(other[name]) and torch.equal(tensor, other[name]))
        for name, tensor in one.items()
    )


def usable(tensor: Tensor) -> bool:
    """Whether a tensor holds plain real numbers: none that is sparse, quantised, complex, or without data (meta)."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_complex()
    return plain and tensor.device.type == "cpu"
