"""The site: built strictly, complete, and without a need for the network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT

from docs.make_pages import generated_pages


@pytest.mark.slow
def test_the_site_is_built_strictly_and_asks_nobody_else(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | set(generated_pages())
    assert [page for page in pages if not (site / page).with_suffix(".html").exists()] == []
    for html in site.rglob("*.html"):
        text = html.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\bsrc(?:set)?="?(https?:[^">\s]+)', text)
        loaded += re.findall(
            r'<link[^>]*rel="?(?:stylesheet|preload|icon|preconnect)[^>]*href="?(https?:[^">\s]+)', text
        )
        assert loaded == [], html.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?https?:", style.read_text("utf-8")), style.name
    assert list(site.rglob("search_index.js"))
    assert "Jensen-Shannon" in (site / "concepts/gap.html").read_text("utf-8")
    assert "load_bundle" in (site / "api.html").read_text("utf-8")
    assert not list(site.rglob("*.py"))
