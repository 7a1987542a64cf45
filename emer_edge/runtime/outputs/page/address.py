"""Where the page is served, and how to get there: `[HOST:]PORT`, loopback unless a token guards it."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import ConfigurationError

__all__ = ["LEAST_TOKEN_CHARACTERS", "Address", "page_address", "refused_binding"]

LEAST_TOKEN_CHARACTERS: Final = 16
"""Shorter tokens could be guessed over a network."""

_PORTS_TRIED: Final = 50


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port.

    Attributes:
        host: a name or an IP address, IPv6 without brackets.
        port: 0 takes any free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `8080`, `localhost:8080`, `0.0.0.0:8080` or `[::]:8080`; raise ConfigurationError on anything else."""
        host, _, port = text.strip().rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        brackets = host.startswith("[") and host.endswith("]")
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in bare and not brackets):
            raise ConfigurationError(
                f"can't read the page's address {text!r}; "
                "write --serve 8080, or --serve 0.0.0.0:8080 with --serve-token"
            )
        return cls(bare or "127.0.0.1", int(port))

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """What to type into a browser; a name of this machine where it is bound to all addresses."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6; raise ConfigurationError where the host is unknown."""
        try:
            return socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
        except (OSError, UnicodeError):
            raise ConfigurationError(
                f"no machine is known as {self.host!r}; --serve takes an address of this one: 127.0.0.1:{self.port}, "
                f"or 0.0.0.0:{self.port} for all of them"
            ) from None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return str(self.port) if self.host == "127.0.0.1" else f"{host}:{self.port}"


def page_address(text: str, token: str | None) -> Address:
    """Read where a page is to be served, and judge its token.

    Args:
        text: `[HOST:]PORT`.
        token: what visitors must know, or None.

    Raises:
        ConfigurationError: the address can't be read; the token is missing, too short, or can't be sent in a header.
    """
    address = Address.parse(text)
    if token is None:
        if not address.loopback:
            raise ConfigurationError(
                f"others can reach {address}: emotion, face and gaze are shown there only to those who know a token; "
                f"set EMER_EDGE_SERVE_TOKEN=$(openssl rand -hex 16), or serve this machine alone: "
                f"--serve {address.port}"
            )
        return address
    if len(token) < LEAST_TOKEN_CHARACTERS or not all("!" <= each <= "~" for each in token):
        raise ConfigurationError(
            f"a page's token has {LEAST_TOKEN_CHARACTERS} or more letters, digits or signs, and no spaces; "
            "openssl rand -hex 16 makes one"
        )
    return address


def refused_binding(address: Address, error: OSError) -> ConfigurationError:
    """The one clear line for an address that the system refuses, with the option that would work."""
    if error.errno == errno.EADDRINUSE:
        free = _free_port(address)
        return ConfigurationError(
            f"port {address.port} is in use by another program; "
            + (f"this one is free: emer-edge run ... --serve {free}" if free else "choose another --serve port")
        )
    if error.errno == errno.EACCES:
        other = Address(address.host, 8000 + address.port % 1000)
        return ConfigurationError(
            f"port {address.port} belongs to the system; take one above 1023: emer-edge run ... --serve {other}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(
            f"{address.host} is not an address of this machine; all of them are --serve 0.0.0.0:{address.port}"
        )
    return ConfigurationError(f"can't serve the page on {address}: {error.strerror or error}")


def _free_port(address: Address) -> Address | None:
    for port in range(address.port + 1, min(address.port + _PORTS_TRIED, 65535) + 1):
        with socket.socket(address.family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address.host, port))
            except OSError:
                continue
            return Address(address.host, port)
    return None
