"""Print the test files that a machine without torch, onnx and pandas can run, such as a board.

python tests/without_torch.py tests/core tests/runtime ...
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

_HEAVY = ("torch", "onnx", "pandas", "matplotlib", "xlwt", "odf")
_ROOMS = ("export", "training", "model", "calibration")


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports when it is loaded."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_heavy(path: Path, helpers: dict[str, Path]) -> bool:
    """Return whether a file, or a helper of the tests that it imports, needs what a board does not have."""
    for name in imported(path):
        parts = name.split(".")
        if parts[0] in _HEAVY or (parts[0] == "emer_edge" and len(parts) > 1 and parts[1] in _ROOMS):
            return True
        if parts[0] in helpers and helpers[parts[0]] != path and is_heavy(helpers[parts[0]], helpers):
            return True
    return False


def main() -> None:
    """Print the files, a line each."""
    root = Path(__file__).parent
    helpers = {
        path.stem: path for path in root.rglob("*.py") if not path.name.startswith("test_") and path.stem != "conftest"
    }
    for place in map(Path, sys.argv[1:]):
        for path in sorted(place.rglob("test_*.py")) if place.is_dir() else [place]:
            if not is_heavy(path, helpers):
                print(path)


if __name__ == "__main__":
    main()
