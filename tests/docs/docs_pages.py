"""The pages of the documentation: their blocks of code with what a comment says of them, headings, and links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["CODE", "DOCS", "PAGES", "ROOT", "Block", "anchors_of", "blocks_of", "links_of"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
CODE = ("bash", "python", "toml", "json", "yaml", "ini", "c")
_DIRECTIVE = re.compile(r"<!--\s*test:\s*(.*?)\s*-->", re.DOTALL)
_WORDS = ("slow", "background", "checked", "needs", "prints", "elsewhere", "skip")


@dataclass
class Block:
    """A block of code.

    Attributes:
        page: file it is in.
        line: where it begins, from 1.
        language: first word after the three backticks.
        code: its text.
        said: directive -> its words, from the comment before it: `slow` (minutes, not in the usual tests),
            `needs NAME ...` (of the stock, see docs_runner), `background` (left running until the page is over),
            `checked` (`run` gets --check), `prints TEXT`, `elsewhere FILE::TEST` (which runs it), `skip, WHY`.
    """

    page: Path
    line: int
    language: str
    code: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """Fenced blocks in their order, those in lists too."""
    tokens = MarkdownIt("commonmark").parse(page.read_text("utf-8") if text is None else text)
    blocks = []
    for at, token in enumerate(tokens):
        assert token.type != "code_block", f"{page}: code by its indent says no language: {token.content[:60]!r}"
        if token.type == "fence":
            comment = (
                _DIRECTIVE.fullmatch(tokens[at - 1].content.strip())
                if at and tokens[at - 1].type == "html_block"
                else None
            )
            assert token.map is not None
            said = _directives(comment[1]) if comment else {}
            language = (token.info.split() or [""])[0]
            blocks.append(Block(page, token.map[0] + 1, language, token.content, said))
    return blocks


def _directives(text: str) -> dict[str, str]:
    """`slow, needs a b` -> {slow: "", needs: "a b"}; what follows `skip,` is one reason."""
    said: dict[str, str] = {}
    rest = text
    while rest:
        part, _, rest = (each.strip() for each in rest.partition(","))
        word, _, words = part.partition(" ")
        assert word in _WORDS, f"unknown directive {word!r} in {text!r}; known are {', '.join(_WORDS)}"
        if word == "skip":
            return {**said, "skip": rest}
        said[word] = words
    return said


def links_of(text: str) -> list[str]:
    """Targets of links and images, those of HTML too."""
    found: list[str] = []
    for token in _all(MarkdownIt("commonmark").enable("table").parse(text)):
        for name in ("href", "src"):
            if value := token.attrGet(name):
                found.append(str(value))
        if token.type in ("html_block", "html_inline"):
            found += re.findall(r'(?:href|src|srcset)="([^"]+)"', token.content)
    return found


@cache
def anchors_of(text: str) -> set[str]:
    """Anchors of a page's headings as GitHub and the site make them: lower case, no punctuation, dashes for blanks."""
    tokens = MarkdownIt("commonmark").parse(text)
    found: dict[str, int] = {}
    anchors = set()
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            inline = tokens[at + 1]
            words = "".join(each.content for each in inline.children or () if each.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
            number = found.get(slug, 0)
            found[slug] = number + 1
            anchors.add(f"{slug}-{number}" if number else slug)
    return anchors | set(re.findall(r'id="([^"]+)"', text))


def _all(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *_all(token.children or []))]
