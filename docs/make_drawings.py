"""Draw the concepts, docs/images/*.svg: `python docs/make_drawings.py`. They follow light and dark by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
_STYLE = """
  svg { color-scheme: light dark; }
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 12px; } .quiet { fill: #59636e; } .strong { font-weight: 600; }
  .end { text-anchor: end; } .mid { text-anchor: middle; }
  .line { stroke: #59636e; fill: none; stroke-width: 1.5; } .thin { stroke: #c3c9d0; fill: none; }
  .box { fill: #f6f8fa; stroke: #8b949e; }
  .felt { fill: #0e7c86; stroke: none; } .shown { fill: #c2570c; stroke: none; }
  .felt-line { stroke: #0e7c86; fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .quiet { fill: #9da7b1; } .line { stroke: #9da7b1; } .thin { stroke: #3d444d; }
    .box { fill: #1c2229; stroke: #656c76; } .felt { fill: #3bc4cf; } .shown { fill: #f0883e; }
    .felt-line { stroke: #3bc4cf; }
  }
"""


class Drawing:
    """An SVG of a fixed size, in pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{title}">\n<style>{_STYLE}</style>\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#8b949e"/></marker></defs>\n'
        )
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, look: str = "box", round_px: int = 3) -> None:
        """A rectangle."""
        self._parts.append(
            f'<rect class="{look}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round_px}"/>'
        )

    def text(self, x: float, y: float, words: str, look: str = "") -> None:
        """A line of text; its baseline begins at x, y."""
        self._parts.append(f'<text class="{look}" x="{x:g}" y="{y:g}">{words}</text>')

    def path(self, data: str, look: str = "line", arrow: bool = False) -> None:
        """A path, with an arrow at its end where asked."""
        tip = ' marker-end="url(#tip)"' if arrow else ""
        self._parts.append(f'<path class="{look}" d="{data}"{tip}/>')

    def dot(self, x: float, y: float, radius: float, look: str) -> None:
        """A disc."""
        self._parts.append(f'<circle class="{look}" cx="{x:.4g}" cy="{y:.4g}" r="{radius:g}"/>')

    def __str__(self) -> str:
        return self._head + "\n".join(self._parts) + "\n</svg>\n"


def windows() -> Drawing:
    """Two windows, a hop apart, over the same faces and eye rows."""
    drawing = Drawing(760, 330, "Windows of twelve seconds over faces and eye rows")
    left, slot, hop = 130.0, 66.0, 22.0

    def window(top: float, shift: float, name: str) -> None:
        drawing.text(118, top + 22, name, "end strong")
        drawing.text(118, top + 62, "eye rows", "end quiet small")
        for index in range(8):
            x = left + shift + index * slot
            drawing.rect(x, top, slot - 2, 34)
            drawing.rect(x + 2 * hop + 4, top + 8, hop - 9, 18, "shown")
            for part in range(4):
                drawing.rect(x + part * slot / 4, top + 48, slot / 4 - 2, 20)
                drawing.dot(x + part * slot / 4 + slot / 8 + 2, top + 58, 2.6, "felt")
        end = left + shift + 8 * slot - 1
        drawing.path(f"M{end:g} {top - 8:g} V{top + 76:g}", "line")

    drawing.text(left, 24, "8 face slots of 1.5 s; each takes its newest face (orange)", "quiet small")
    window(40, 0, "window")
    drawing.text(left + 8 * slot - 1, 136, "T", "mid strong")
    drawing.text(left, 136, "T − 12 s", "quiet small")
    window(180, hop, "next window")
    drawing.text(left + 8 * slot + hop - 1, 276, "T + 0.5 s", "mid strong")
    drawing.path(f"M{left + 8 * slot + hop + 20:g} 160 V178", "line", arrow=True)
    drawing.text(left + 8 * slot + hop + 8, 150, "one new face", "mid quiet small")
    drawing.path(f"M{left:g} 300 H{left + 8 * slot + 60:g}", "line", arrow=True)
    drawing.text(left, 320, "time; the step for T runs 50 ms after T, on what had arrived by then", "quiet small")
    return drawing


def clocks() -> Drawing:
    """Arrivals over device time, and the line below them."""
    drawing = Drawing(760, 320, "Mapping a tracker's clock to the host's")
    drawing.path("M90 270 V30", "line", arrow=True)
    drawing.path("M90 270 H710", "line", arrow=True)
    drawing.text(100, 34, "arrival at this machine", "quiet small")
    drawing.text(706, 292, "the tracker's own clock", "end quiet small")
    for index in range(40):
        x = 110 + index * 14.5
        base = 250 - (x - 90) * 0.30
        late = 9 * -math.log(1 - ((index * 0.618034) % 1) * 0.985)
        drawing.path(f"M{x:g} {base:.4g} V{base - late:.4g}", "thin")
        drawing.dot(x, base - late, 3, "shown")
    drawing.path("M90 250 L706 65.2", "felt-line")
    drawing.text(330, 226, "the line below all arrivals: the mapping", "felt strong")
    drawing.text(330, 246, "its slope is the drift; what lies above it is jitter, and is taken out", "quiet small")
    drawing.text(118, 66, "each dot is a sample: late by a varying delay, never early", "quiet small")
    return drawing


def gap() -> Drawing:
    """Two distributions over seven emotions."""
    drawing = Drawing(760, 300, "Felt and shown emotions as two distributions")
    names = ("happiness", "sadness", "fear", "surprise", "disgust", "anger", "neutral")
    shown, felt = (0.78, 0.03, 0.01, 0.08, 0.01, 0.01, 0.08), (0.14, 0.58, 0.08, 0.03, 0.04, 0.03, 0.10)
    for row, (values, title, look) in enumerate(((shown, "shown (FER)", "shown"), (felt, "felt (ER)", "felt"))):
        base = 120 + 120 * row
        drawing.text(112, base - 34, title, "end strong")
        drawing.path(f"M130 {base} H650", "thin")
        for index, value in enumerate(values):
            height = max(1.0, 88 * value)
            drawing.rect(142 + 74 * index, base - height, 44, height, look, 2)
    for index, name in enumerate(names):
        drawing.text(164 + 74 * index, 262, name, "mid quiet small")
    distance = jensen_shannon(shown, felt)
    drawing.path("M676 40 H690 V236 H676", "line")
    drawing.text(700, 132, "gap", "strong")
    drawing.text(700, 152, f"{distance:.2f}", "strong")
    drawing.text(130, 288, "an example: probabilities over the same seven emotions, and their distance", "quiet small")
    return drawing


def jensen_shannon(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Base-2 Jensen-Shannon distance of two distributions."""
    middle = [(one + other) / 2 for one, other in zip(first, second, strict=True)]
    terms = [
        sum(value * math.log2(value / mean) for value, mean in zip(each, middle, strict=True) if value)
        for each in (first, second)
    ]
    return math.sqrt(sum(terms) / 2)


def gate() -> Drawing:
    """Who is used for what, from the data set to the bundle."""
    drawing = Drawing(760, 330, "Which people train, calibrate, judge and score")
    boxes = (
        (20, 40, 200, 74, "four folds", "people to train and calibrate"),
        (20, 140, 200, 74, "selection", "people kept apart"),
        (20, 240, 200, 74, "held-out fold", "people never looked at"),
        (300, 40, 190, 74, "FP32 and INT8", "the same network, fewer bits"),
        (300, 140, 190, 74, "the gate", "paired, over participants"),
        (560, 140, 180, 74, "bundle", "passed or inconclusive"),
        (560, 240, 180, 74, "bench", "scores it once"),
    )
    for x, y, width, height, title, words in boxes:
        drawing.rect(x, y, width, height, "box", 6)
        drawing.text(x + width / 2, y + 32, title, "mid strong")
        drawing.text(x + width / 2, y + 54, words, "mid quiet small")
    for data in ("M220 77 H296", "M395 114 V136", "M220 177 H296", "M490 177 H556", "M220 277 H556", "M650 214 V236"):
        drawing.path(data, "line", arrow=True)
    drawing.path("M470 140 C 520 110, 520 90, 494 78", "line", arrow=True)
    drawing.text(522, 84, "failed: sensitive layers", "quiet small")
    drawing.text(522, 100, "back to high precision", "quiet small")
    return drawing


DRAWINGS: dict[str, Callable[[], Drawing]] = {"windows": windows, "clocks": clocks, "gap": gap, "gate": gate}


def main() -> None:
    """Write them all."""
    IMAGES.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (IMAGES / f"{name}.svg").write_text(str(draw()), encoding="utf-8")


if __name__ == "__main__":
    main()
