"""Who may see the page: the right name in the Host header, and the token where there is one.

A page on loopback is still open to DNS rebinding: a website whose name suddenly means 127.0.0.1 could read it. Its
requests carry the website's name in `Host`, so only names and addresses of this machine are answered.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from email.message import Message
from http.cookies import CookieError, SimpleCookie

from emer_edge.runtime.outputs.page.address import Address

__all__ = ["Access"]


class Access:
    """Judges requests.

    Args:
        address: where the page is served, with its real port.
        token: what a visitor must know; None lets every local program in.
    """

    def __init__(self, address: Address, token: str | None) -> None:
        self._token = token
        self._loopback = address.loopback
        self.cookie_name = f"emer-edge-{address.port}"  # browsers share cookies between the ports of a host
        name = socket.gethostname().lower()
        self._names = {"localhost", address.host.lower()}
        if not address.loopback:
            self._names |= {name, f"{name}.local", name.split(".")[0]}

    @property
    def guarded(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    @property
    def _pass(self) -> str:
        # From the token alone, so that a browser is let in again after a restart; says nothing about the token.
        return hmac.new((self._token or "").encode(), b"emer-edge page", hashlib.sha256).hexdigest()

    def named(self, headers: Message) -> bool:
        """Whether exactly one `Host` names this machine; its port may differ, as behind `ssh -L`."""
        hosts = headers.get_all("Host") or []
        if len(hosts) != 1:
            return False
        host = hosts[0].strip().lower()
        name = host[1 : host.find("]")] if host.startswith("[") else host.rpartition(":")[0] or host
        if name in self._names:
            return True
        try:
            number = ipaddress.ip_address(name)
        except ValueError:
            return False
        return number.is_loopback or not self._loopback  # an address in numbers can't be rebound

    def knows_token(self, headers: Message) -> bool:
        """Whether `Authorization: Bearer` brings the token."""
        kind, _, given = (headers.get("Authorization") or "").partition(" ")
        return self._token is not None and kind.lower() == "bearer" and _same(given.strip(), self._token)

    def admits(self, headers: Message) -> bool:
        """Whether a request may see data: no token is set, or it brings the token or the cookie."""
        return not self.guarded or self.knows_token(headers) or _same(self._given_cookie(headers), self._pass)

    def cookie(self) -> str:
        """The `Set-Cookie` value for a visitor who knows the token: a pass made from it, not the token."""
        return f"{self.cookie_name}={self._pass}; Path=/; HttpOnly; SameSite=Strict"

    def _given_cookie(self, headers: Message) -> str:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("Cookie") or "")
        except CookieError:
            return ""
        given = cookies.get(self.cookie_name)
        return given.value if given is not None else ""


def _same(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing about how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
