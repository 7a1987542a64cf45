"""Opening the page in the user's browser.

Every user of a machine can read the command lines of all programs. So the browser is given a file that only its user
can read; that file holds the link, and the token in it.
"""

from __future__ import annotations

import html
import os
import shutil
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import Final

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


class BrowserLink:
    """A file that leads a browser to the page; removed with the run."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def open(self, url: str) -> str:
        """Open the page without waiting for the browser; return why that can't be done, or an empty text."""
        if sys.platform == "linux" and not any(map(os.environ.get, _DISPLAYS)):
            return "there is no desktop here to open a browser on"
        try:
            browser = webbrowser.get()
            self._folder = Path(tempfile.mkdtemp(prefix="emer-edge-page-"))  # of mode 0700
            link = self._folder / "open.html"
            link.write_text(f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={html.escape(url)}">')
        except webbrowser.Error:
            return "no browser was found"
        except OSError as error:
            return f"the link for the browser can't be written: {error.strerror}"
        threading.Thread(target=browser.open, args=(link.as_uri(),), name="browser", daemon=True).start()
        return ""

    def remove(self) -> None:
        """Remove the file."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
