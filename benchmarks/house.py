"""How large the house is, and whether its rules hold: files, lines, docstrings, circles, positional arguments.

    python -m benchmarks.house            # the figures
    python -m benchmarks.house --long     # and where each rule is broken

`tests/test_house.py` holds what must hold for ever; the rest is printed.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "emer_edge"
MOST_POSITIONAL = 4
MOST_LINES = 400


@dataclass(frozen=True)
class Module:
    """One file of the package.

    Attributes:
        name: dotted.
        path: the file.
        text: what it holds.
        tree: parsed.
    """

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Lines of the file."""
        return self.text.count("\n")


def modules(root: Path = ROOT / PACKAGE) -> list[Module]:
    """All modules below `root`, by name."""
    house = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text()
        house.append(Module(name, path, text, ast.parse(text)))
    return house


def documented(node: ast.AST) -> bool:
    """Whether a module, class or function has a docstring."""
    return (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    )


def code_lines(module: Module) -> int:
    """Lines that a statement covers, imports among them, without docstrings and blank lines."""
    covered: set[int] = set()
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.stmt):
            continue
        if _is_docstring(node):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        if hasattr(node, "body"):  # a block's own lines are its head's; its body's statements count themselves
            body = node.body if isinstance(node.body, list) else [node.body]
            covered.update(range(first, body[0].lineno if body[0].lineno > first else first + 1))
            if body[0].lineno > first and _is_docstring(body[0]):
                covered.difference_update(range(body[0].lineno, (body[0].end_lineno or body[0].lineno) + 1))
        else:
            covered.update(range(first, (node.end_lineno or node.lineno) + 1))
    blank = {number for number, line in enumerate(module.text.splitlines(), 1) if not line.strip()}
    return len(covered - blank)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def public(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods (dunders and names below functions aside), and the module itself."""
    yield module.name, module.tree
    stack: list[tuple[str, ast.AST]] = [(module.name, module.tree)]
    while stack:
        name, node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_"):
                continue
            inner = f"{name}.{child.name}"
            yield inner, child
            if isinstance(child, ast.ClassDef):
                stack.append((inner, child))


def documentation(house: Sequence[Module]) -> tuple[float, list[str]]:
    """Share of the public names that have a docstring, and those that have none."""
    names = {name: documented(node) for module in house for name, node in public(module)}
    without = [name for name, documented in names.items() if not documented]
    return 1 - len(without) / len(names), without


def imports(module: Module, names: set[str]) -> set[str]:
    """Modules of the package that a module imports, for type checkers included, and by name in a text.

    Such a text is a module's dotted name, or `module:attribute`.
    """
    imported: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imported.add(inner if inner in names else node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            imported.add(node.value.partition(":")[0])
    imported = {module for module in imported if module in names and module != PACKAGE}
    if module.path.name == "__init__.py":  # a package that opens its own modules is one with them
        imported = {name for name in imported if name != module.name}
    return imported - {module.name}


def circles(house: Sequence[Module]) -> list[list[str]]:
    """Import circles: strongly connected components of more than one module (Tarjan 1972)."""
    names = {module.name for module in house}
    edges = {module.name: sorted(imports(module, names)) for module in house if module.name != PACKAGE}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circle: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in edges.get(name, []):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                circle.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for name in edges:
        if name not in index:
            visit(name)
    return circle


def positional_calls(house: Sequence[Module]) -> list[str]:
    """Calls of the package's own functions and classes with more than four positional arguments: `file:line name`."""
    own = {
        node.name
        for module in house
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    } - set(dir(builtins))
    broken = []
    for module in house:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or len(node.args) <= MOST_POSITIONAL:
                continue
            if any(isinstance(arg, ast.Starred) for arg in node.args):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in own:
                broken.append(f"{module.path.relative_to(ROOT)}:{node.lineno} {name} ({len(node.args)})")
    return broken


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="name each place where a rule is broken")
    long = parser.parse_args().long
    house = modules()
    share, without = documentation(house)
    tests = list((ROOT / "tests").rglob("*.py"))
    figures: list[tuple[str, object, list[str]]] = [
        (f"Python files under {PACKAGE}", len(house), []),
        ("lines", sum(module.lines for module in house), []),
        ("lines of code (covered by a statement, docstrings apart)", sum(map(code_lines, house)), []),
        (f"files over {MOST_LINES} lines", *_broken([module.name for module in house if module.lines > MOST_LINES])),
        ("import circles", *_broken([" ".join(circle) for circle in circles(house)])),
        (f"calls with over {MOST_POSITIONAL} positional arguments", *_broken(positional_calls(house))),
        ("public names with a docstring", f"{share:.1%}", without),
        ("test files", len(tests), []),
        ("lines of tests", sum(test.read_text().count("\n") for test in tests), []),
    ]
    for name, figure, where in figures:
        print(f"{name:60} {figure}")
        if long:
            for place in where:
                print(f"    {place}")


def _broken(where: list[str]) -> tuple[int, list[str]]:
    return len(where), where


if __name__ == "__main__":
    main()
