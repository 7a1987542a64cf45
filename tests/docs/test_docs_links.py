"""Every link of the documentation leads somewhere, on GitHub and in the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest
from docs_pages import DOCS, PAGES, ROOT, anchors_of, links_of

from docs.make_pages import FROM_ROOT, generated_pages, linked_files

MORE = [ROOT / name for name in ("CHANGELOG.md", "SECURITY.md", "benchmarks/README.md", "tests/frozen/README.md")]


def broken(page: Path, text: str) -> list[str]:
    """Links of a page whose file or anchor is not there."""
    missing = []
    for link in links_of(text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = page.parent / target if target else page
        there = path.exists() and path.resolve().is_relative_to(ROOT)
        if there and anchor and path.suffix == ".md":
            there = anchor in anchors_of(path.read_text("utf-8") if target else text)
        if not there:
            missing.append(link)
    return missing


@pytest.mark.parametrize("page", [*PAGES, *MORE], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_of_a_page_are_there(page: Path) -> None:
    assert broken(page, page.read_text("utf-8")) == []


def test_a_broken_link_is_found() -> None:
    text = (
        '# One heading\n[a](#one-heading) [b](#two) [c](limits.md) [d](nowhere.md) [e](limits.md#no)\n<img src="x.png">'
    )
    assert broken(DOCS / "limits.md", text) == ["#two", "nowhere.md", "limits.md#no", "x.png"]


def test_links_of_generated_pages_lead_to_pages_and_copies_of_the_site() -> None:
    """The front page, the changelog and others are files of the repository, whose links mean something else there."""
    pages = generated_pages()
    there = {*pages, *(f"files/{file}.txt" for file in linked_files())}
    there |= {str(path.relative_to(DOCS)) for path in DOCS.rglob("*") if path.is_file()}
    for place, text in pages.items():
        for link in links_of(text):
            target = link.partition("#")[0]
            if target and not re.match(r"[a-z]+:", link):
                assert posixpath.normpath(posixpath.join(posixpath.dirname(place), target)) in there, (place, link)
    assert len(there) > 40
    assert set(FROM_ROOT) < set(pages)


def test_every_page_is_in_the_navigation_once() -> None:
    nav = re.findall(r"([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(nav) == sorted([*pages, *generated_pages()])


def test_the_command_reference_has_every_command_and_option() -> None:
    from typer.main import get_command

    from emer_edge.cli.app import app

    text = generated_pages()["commands.md"]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) > 15
    for name, command in commands.items():
        for inner, one in getattr(command, "commands", {"": command}).items():
            section = text.partition(f"\n## {f'{name} {inner}'.strip()}\n")[2].partition("\n## ")[0]
            flags = {flag for option in one.params for flag in option.opts if flag.startswith("--")}
            assert [flag for flag in flags if f"`{flag}`" not in section] == [], (name, inner)
    assert "synthetic://" in text  # what is registered, which --help alone names
    assert "HelpfulCommand" not in text
