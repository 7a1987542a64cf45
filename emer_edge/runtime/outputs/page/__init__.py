"""A web page that shows a run live: results, video, gaze, sensors and latency, for this machine alone by default."""

from __future__ import annotations

from emer_edge.runtime.outputs.page.address import page_address
from emer_edge.runtime.outputs.page.output import Page, serve_page

__all__ = ["Page", "page_address", "serve_page"]
