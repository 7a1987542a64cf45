"""Confusion matrices: what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emer_edge.report.axes import CHARACTER, TOP
from emer_edge.report.svg import PALETTE, drawing, element, label

__all__ = ["confusion_plot"]

_WIDTH: Final = 352.0
_TALLEST: Final = 38.0
_DARK: Final = 0.55
"""Opacity from which white figures are read better than the page's own."""


def confusion_plot(title: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are labels, columns predictions; a cell is as dark as its share of its row, its figure the count.

    Args:
        title: above the plot.
        classes: names in the order of rows and columns.
        counts: (C, C).
    """
    names = max(len(each) for each in classes) * CHARACTER + 10
    # The last name leans out over its column.
    side = (_WIDTH - names - 2 - len(classes[-1]) * CHARACTER * 0.77) / (len(classes) - 0.5)
    tall = min(side, _TALLEST)
    top = TOP + max(len(each) for each in classes) * CHARACTER * 0.62 + 8
    parts = [label(0, 16, title, class_="heading")]
    for at, name in enumerate(classes):
        across = names + (at + 0.5) * side
        parts.append(label(across, top - 5, name, transform=f"rotate(-40 {across:.1f} {top - 5:.1f})"))
    said = []
    for at, (name, row) in enumerate(zip(classes, counts, strict=True)):
        y = top + at * tall
        total = sum(row)
        parts.append(label(names - 8, y + tall / 2 + 4, name, "end"))
        for column, count in enumerate(row):
            x, share = names + column * side, count / total if total else 0.0
            shade = {"class_": "cell", "fill": PALETTE[0], "fill_opacity": f"{max(share, 0.03):.2f}"}
            parts.append(element("rect", None, x=x, y=y, width=side - 1, height=tall - 1, **shade))
            kind = {"class_": "on"} if share > _DARK else {}
            parts.append(label(x + (side - 1) / 2, y + tall / 2 + 4, f"{count}", "middle", **kind))
        if total:
            right = f"{row[at]} of {total} {name} right"
            wrong = {classes[each]: count for each, count in enumerate(row) if each != at and count}
            most = max(wrong, key=lambda each: wrong[each], default="")
            said.append(f"{right}, {wrong[most]} taken for {most}" if most else right)
    height = top + tall * len(classes) + 24
    parts.append(label(names + side * len(classes) / 2, height - 6, "predicted", "middle", class_="soft"))
    parts.append(label(names - 8, top - 6, "true", "end", class_="soft"))
    return drawing(_WIDTH, height, title, f"Rows true, columns predicted. {'; '.join(said) or 'No clips'}", parts)
