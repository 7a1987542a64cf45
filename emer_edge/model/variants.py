"""The variants of EMERT: their token width, projections, heads, and the published names of these heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from torch import nn

from emer_edge.errors import ConfigurationError
from emer_edge.spec.heads import HEADS, ClassHead, ValueHead, head

__all__ = ["VARIANTS", "Variant", "VariantName", "build_head", "check_heads", "variant_of"]

VariantName = Literal["discrete", "va", "intensity", "nine"]


@dataclass(frozen=True)
class Variant:
    """One variant.

    Attributes:
        name: `discrete`, `va` and `intensity` are the published ones, `nine` is this project's.
        dim: width of a token.
        projection_layers: layers of the four projections 128 -> dim.
        published: parameters carry published names, columns enter raw.
    """

    name: VariantName
    dim: int
    projection_layers: int
    published: bool


VARIANTS: Final[dict[str, Variant]] = {
    each.name: each
    for each in (
        Variant("discrete", 32, 2, published=True),
        Variant("va", 64, 1, published=True),
        Variant("intensity", 64, 1, published=True),
        Variant("nine", 64, 1, published=False),
    )
}


def variant_of(name: str) -> VariantName:
    """Return the published variant that predicts a head; raise ConfigurationError for an unknown head."""
    found = head(name)
    if isinstance(found, ClassHead):
        return "discrete"
    return "intensity" if found.target == "intensity" else "va"


def check_heads(variant: VariantName, heads: Sequence[str] | None) -> tuple[str, ...]:
    """Return the heads of a network in the order of its outputs.

    Args:
        variant: the variant.
        heads: names; None means all nine for `nine` and FER-7 with intensity for `intensity`.

    Raises:
        ConfigurationError: the variant has no such heads.
    """
    if variant == "intensity":
        expected = ("fer-7", "fer-intensity")
        if heads is not None and tuple(heads) != expected:
            raise ConfigurationError(f"the intensity variant has the heads {', '.join(expected)}")
        return expected
    if variant == "nine":
        chosen = tuple(HEADS) if heads is None else tuple(heads)
        for each in chosen:
            head(each)
        if not chosen or len(set(chosen)) != len(chosen):
            raise ConfigurationError("a network needs at least one head, and each head once")
        return chosen
    if heads is None or len(heads) != 1 or variant_of(heads[0]) != variant:
        fitting = [each for each in HEADS if variant_of(each) == variant]
        raise ConfigurationError(f"the {variant} variant has exactly one head, one of {', '.join(fitting)}")
    return tuple(heads)


def build_head(name: str, dim: int) -> nn.Sequential:
    """Build one head dim -> width: a stack for valence and arousal, one layer for anything else, as published."""
    found = HEADS[name]
    if isinstance(found, ValueHead) and found.target != "intensity":
        widths = (dim, 32, 16, 8, 1)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.01)]
        return nn.Sequential(*layers[:-1])
    return nn.Sequential(nn.Linear(dim, found.width))
