"""Where a web server of a run listens, `[HOST:]PORT`, and who may read it: for the page and for the metrics.

Visitors need the right name in the Host header, and the token where there is one. A server on loopback is still open to
DNS rebinding: a website whose name suddenly resolves to 127.0.0.1 could read it. Its requests carry the website's name
in `Host`, so only names and addresses of this machine are answered; and requests that another site's page makes are
refused by what browsers say of them: Sec-Fetch-Site (Fetch Metadata Request Headers, W3C) and Origin (RFC 6454).
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import ipaddress
import re
import socket
import time
from dataclasses import dataclass, replace
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from itertools import pairwise
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.outputs.base import free_port

LEAST_TOKEN_CHARACTERS: Final = 16
"""Shorter tokens could be guessed over a network."""

PASS_S: Final = 12 * 3600
"""A visitor's cookie is good for so long."""

_FAMILIAR: Final = re.compile("password|passwort|qwert[yz]|asdf|letmein|changeme|secret|token|admin|emer|edge", re.I)


@dataclass(frozen=True, slots=True)
class PageAddress:
    """A host (a name or an IP address, IPv6 without brackets) and a port (0 takes any free one)."""

    host: str
    port: int

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
        """The address for a browser; the name of this machine where the page is bound to all addresses."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6; raise ConfigurationError where the host is unknown."""
        try:
            return socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
        except (OSError, UnicodeError):
            raise ConfigurationError(
                f"no machine is known as {self.host!r}; name an address of this one: 127.0.0.1:{self.port}, "
                f"or 0.0.0.0:{self.port} for all of them"
            ) from None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return str(self.port) if self.host == "127.0.0.1" else f"{host}:{self.port}"


def page_address(text: str, token: str | None, open_to_all: bool = False) -> PageAddress:
    """Read `[HOST:]PORT` and check the token.

    Raises:
        ConfigurationError: the address can't be read; others can reach it and there is no token; the token is as of
            `check_token`, or given for a page that is open to all.
    """
    host, _, port = text.strip().rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    brackets = host.startswith("[") and host.endswith("]")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in bare and not brackets):
        raise ConfigurationError(
            f"can't read the page's address {text!r}; write --serve 8080, or --serve 0.0.0.0:8080 with --serve-token"
        )
    address = PageAddress(bare or "127.0.0.1", int(port))
    if token is not None:
        check_token(token)
        if open_to_all:
            raise ConfigurationError("--serve-open needs no token, and one is set: leave one of them out")
    elif not address.loopback:
        raise ConfigurationError(
            f"others can reach {address}: emotion, face and gaze are shown there only with a token; "
            f"set EMER_EDGE_SERVE_TOKEN=$(openssl rand -hex 16), or serve this machine alone: "
            f"--serve {address.port}"
        )
    return address


def check_token(token: str) -> None:
    """Raise ConfigurationError for a token that is too short, trivial, or can't be sent in a header."""
    if len(token) < LEAST_TOKEN_CHARACTERS or not all("!" <= character <= "~" for character in token):
        raise ConfigurationError(
            f"a page's token has {LEAST_TOKEN_CHARACTERS} or more letters, digits or signs, and no spaces; "
            "openssl rand -hex 16 makes one"
        )
    rest = _FAMILIAR.sub("", token[: re.match(r"(.+?)\1*$", token).end(1)])  # type: ignore[union-attr]
    own = rest[:1] + "".join(after for before, after in pairwise(rest) if abs(ord(after) - ord(before)) > 1)
    if len(own) < 8 or len(set(own)) < 6:  # of 16 random hexadecimal ones few are less
        raise ConfigurationError(
            "this token is easy to guess: it repeats, counts, or holds usual words; openssl rand -hex 16 makes another"
        )


def refused_binding(address: PageAddress, error: OSError, flag: str = "--serve") -> ConfigurationError:
    """One line for an address that the system refuses, with the option that would work."""
    if error.errno == errno.EADDRINUSE:
        port = free_port(address.host, address.port, address.family)
        other = f"choose another port for {flag}"
        if port is not None:
            other = f"this one is free: emer-edge run ... {flag} {replace(address, port=port)}"
        return ConfigurationError(f"port {address.port} is in use by another program; {other}")
    if error.errno == errno.EACCES:
        unprivileged = replace(address, port=8000 + address.port % 1000)
        return ConfigurationError(
            f"port {address.port} belongs to the system; take one above 1023: emer-edge run ... {flag} {unprivileged}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(
            f"{address.host} is not an address of this machine; {flag} 0.0.0.0:{address.port} takes all of them"
        )
    return ConfigurationError(f"can't serve {address}: {error.strerror or error}")


class Access:
    """Access control of requests.

    Args:
        address: of the page, with its real port.
        token: that visitors must give; None admits every local program.
    """

    def __init__(self, address: PageAddress, token: str | None) -> None:
        self._token = token
        self._loopback = address.loopback
        self.cookie_name = f"emer-edge-{address.port}"  # browsers share cookies between the ports of a host
        name = socket.gethostname().lower()
        self._names = {"localhost", address.host.lower()}
        if not address.loopback:
            self._names |= {name, f"{name}.local", name.split(".")[0]}

    @property
    def guarded(self) -> bool:
        """Whether a token is needed."""
        return self._token is not None

    def _pass(self, until: str) -> str:
        # From the token alone, so that a browser is admitted again after a restart; it does not reveal the token.
        return hmac.new(
            (self._token or "").encode(), f"emer-edge page until {until}".encode(), hashlib.sha256
        ).hexdigest()

    def named(self, headers: Message) -> bool:
        """Whether exactly one `Host` names this machine; its port may differ, as behind `ssh -L`."""
        hosts = headers.get_all("Host") or []
        return len(hosts) == 1 and self.is_ours(hosts[0])

    def is_ours(self, host: str) -> bool:
        """Whether `NAME[:PORT]` is a name or an address of this machine."""
        host = host.strip().lower()
        name = host[1 : host.find("]")] if host.startswith("[") else host.rpartition(":")[0] or host
        if name in self._names:
            return True
        try:
            number = ipaddress.ip_address(name)
        except ValueError:
            return False
        return number.is_loopback or not self._loopback  # an address in numbers can't be rebound

    @staticmethod
    def foreign(headers: Message) -> bool:
        """Whether the page of another site, or of another port, makes this request in somebody's browser."""
        own, origin = headers.get("Host", "").strip().lower(), headers.get("Origin", "").lower()
        site = headers.get("Sec-Fetch-Site", "none")
        return site not in ("none", "same-origin") or origin not in ("", f"http://{own}", f"https://{own}")

    def knows_token(self, headers: Message) -> bool:
        """Whether `Authorization: Bearer` holds the token."""
        kind, _, given = (headers.get("Authorization") or "").partition(" ")
        return self._token is not None and kind.lower() == "bearer" and _same(given.strip(), self._token)

    def admits(self, headers: Message) -> bool:
        """Whether a request may see data: no token is set, or it holds the token or a cookie that has not expired."""
        if not self.guarded or self.knows_token(headers):
            return True
        until, _, given = self._given_cookie(headers).partition(".")
        left_s = int(until) - time.time() if re.fullmatch("[0-9]{1,15}", until) else 0.0
        return 0 < left_s <= PASS_S and _same(given, self._pass(until))

    def cookie(self) -> str:
        """The `Set-Cookie` value for a visitor with the token: a pass made from it, not the token."""
        until = str(int(time.time()) + PASS_S)
        pair = f"{self.cookie_name}={until}.{self._pass(until)}"
        return f"{pair}; Path=/; Max-Age={PASS_S}; HttpOnly; SameSite=Strict"

    def _given_cookie(self, headers: Message) -> str:
        try:
            cookie = SimpleCookie(headers.get("Cookie") or "").get(self.cookie_name)
        except CookieError:
            return ""
        return "" if cookie is None else cookie.value


def _same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
