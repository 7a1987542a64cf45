"""A report as one HTML file: no network, nothing that is not in the file; its one script sorts tables."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from emer_edge.core.public_text import one_is_singular
from emer_edge.report.table import Cell, Deviation, Estimate, Table, cell_text
from emer_edge.report.text_tables import to_csv


@dataclass(frozen=True)
class Paragraph:
    """Text; `warning` sets it off as something the reader must know."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values, such as the environment."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A plot of `emer_edge.report` (SVG text, taken as it is) and its caption.

    Attributes:
        svg: the plot.
        caption: below it; empty for none.
        narrow: the same plot for narrow screens; empty where they scroll.
    """

    svg: str
    caption: str = ""
    narrow: str = ""


@dataclass(frozen=True)
class Gallery:
    """Small plots beside each other, below each other on a narrow screen."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Tile:
    """One figure that a reader looks for first: what it is, the figure, and a line about it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """The figures that a reader looks for first."""

    items: tuple[Tile, ...]


@dataclass(frozen=True)
class Code:
    """Text to be typed."""

    text: str


@dataclass(frozen=True)
class Quote:
    """Text to be taken over into another document."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks that open at a click; they are printed open unless `printed` is false."""

    summary: str
    blocks: tuple[Block, ...]
    printed: bool = True


Block = Paragraph | Facts | Figure | Gallery | Tiles | Code | Quote | Details | Table


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: tuple[Block, ...]


_LONG: Final = 40
"""Characters from which a cell gets a width of its own, so that a narrow screen scrolls instead of stacking words."""
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{sort}'"


def to_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render the page; every text is escaped, and its policy forbids network and scripts but the sorting one."""
    style, script = (files("emer_edge.report").joinpath(name).read_text("utf-8") for name in ("style.css", "sort.js"))
    policy = _POLICY.format(sort=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode())
    links = "".join(f'<li><a href="#s{at}">{escape(section.heading)}</a></li>' for at, section in enumerate(sections))
    body = "".join(_section(at, section) for at, section in enumerate(sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(title)}</h1><p>{escape(one_is_singular(subtitle))}</p></header>"
        f'<main><nav aria-label="Contents"><ul>{links}</ul></nav>{body}</main><script>{script}</script></body></html>\n'
    )


def _section(at: int, section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f'\n<section aria-labelledby="s{at}"><h2 id="s{at}">{escape(section.heading)}</h2>\n{blocks}</section>'


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p{' class=warning role=note' if block.warning else ''}>{escape(one_is_singular(block.text))}</p>"
    if isinstance(block, Facts):
        items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in block.items)
        return f"<dl>{items}</dl>"
    if isinstance(block, Figure):
        caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
        if block.narrow:
            plots = f'<div class="wide">{block.svg}</div><div class="narrow">{block.narrow}</div>'
            return f"<figure>{plots}{caption}</figure>"
        return f'<figure><div class="scroll" tabindex="0">{block.svg}</div>{caption}</figure>'
    if isinstance(block, Gallery):
        return f'<div class="gallery">{"".join(_block(figure) for figure in block.figures)}</div>'
    if isinstance(block, Tiles):
        return f'<dl class="tiles">{"".join(_tile(tile) for tile in block.items)}</dl>'
    if isinstance(block, Code):
        return f'<pre class="scroll" tabindex="0"><code>{escape(block.text)}</code></pre>'
    if isinstance(block, Quote):
        return f"<blockquote>{escape(one_is_singular(block.text))}</blockquote>"
    if isinstance(block, Details):
        inside = "".join(_block(inner) for inner in block.blocks)
        kind = "" if block.printed else " class=unprinted"
        return f"<details{kind}><summary>{escape(one_is_singular(block.summary))}</summary>{inside}</details>"
    return _table(block)


def _tile(tile: Tile) -> str:
    note = f"<dd>{escape(one_is_singular(tile.note))}</dd>" if tile.note else ""
    return f'<div><dt>{escape(tile.name)}</dt><dd class="value">{escape(tile.value)}</dd>{note}</div>'


def _table(table: Table) -> str:
    right = [table.is_numeric(at) for at in range(len(table.columns))]
    head = "".join(
        f"<th scope=col{' class=right' if flush else ''}>{escape(column.heading)}</th>"
        for column, flush in zip(table.columns, right, strict=True)
    )
    rows = []
    for row in table.rows:
        cells = []
        for at, (cell, column) in enumerate(zip(row, table.columns, strict=True)):
            tag = "th scope=row" if at == 0 else "td"
            text = cell_text(cell, column)
            kind = " class=right" if right[at] else " class=long" if len(text) > _LONG else ""
            value = f' data-value="{_sorted_by(cell)}"' if right[at] else ""
            cells.append(f"<{tag}{kind}{value}>{escape(text)}</{tag.split()[0]}>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    name = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-") or "table"
    csv = f'<a download="{name}.csv" href="data:text/csv;charset=utf-8,{quote(to_csv(table))}">CSV</a>'
    note = f'<p class="note">{escape(table.note)} {csv}</p>'
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _sorted_by(cell: Cell) -> str:
    """The figure that a cell is sorted by; empty, which comes last, where there is none."""
    value = cell.value if isinstance(cell, Estimate) else cell.mean if isinstance(cell, Deviation) else cell
    return repr(value) if isinstance(value, (int, float)) and math.isfinite(value) else ""
