"""What the addresses of cameras and trackers have in common: a scheme, a path, and parameters as in an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from emer_edge.errors import ConfigurationError

__all__ = ["Address", "parse_parameters"]


@dataclass(frozen=True)
class Address:
    """An address of a camera or tracker as written by a user, taken apart.

    Attributes:
        text: as written.
        scheme: what stands before `://`, or empty.
        path: path or address.
        parameters: what follows the question mark.
    """

    text: str
    scheme: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def allow(self, *names: str) -> None:
        """Raise ConfigurationError where a parameter is none of `names`."""
        unknown = sorted(set(self.parameters) - set(names))
        if unknown:
            known = f"known are {', '.join(names)}" if names else "this kind of source takes none"
            raise ConfigurationError(f"{self.text}: unknown {', '.join(unknown)}; {known}")

    def number(self, name: str, low: float, high: float) -> float | None:
        """A parameter as a number in low..high, None where absent; raise ConfigurationError on anything else."""
        text = self.parameters.get(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ConfigurationError(f"{self.text}: {name} is a number from {low:g} to {high:g}, not {text!r}")
        return number


def parse_parameters(text: str, query: str) -> dict[str, str]:
    """Take the part after a question mark apart.

    Args:
        text: the whole source, for messages.
        query: `name=value`, joined by `&`; values may be percent-encoded.

    Raises:
        ConfigurationError: it is written in another way, or names a parameter twice.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigurationError(f"{text}: parameters are written as name=value, joined by &") from None
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"{text}: a parameter is given twice")
    return dict(pairs)
