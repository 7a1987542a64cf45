"""A web page that shows a run live: results, video, gaze, sensors and latency, for this machine alone by default.

The server's names resolve on first use: most runs show no page, and then load neither HTTP nor TLS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emer_edge.runtime.outputs.page.address import page_address

if TYPE_CHECKING:
    from emer_edge.runtime.outputs.page.output import Page, serve_page

__all__ = ["Page", "page_address", "serve_page"]


def __getattr__(name: str) -> Any:
    if name in ("Page", "serve_page"):
        return getattr(import_module("emer_edge.runtime.outputs.page.output"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
