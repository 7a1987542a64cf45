"""Every command that the product prints runs as it is printed, and no number that is none gets into one."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import emer_edge
from emer_edge.cli.app import app
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.standard_streams import command

ROOT = Path(emer_edge.__file__).parent
_COUNTED = re.compile("seconds|participants|epochs")
PATH = "a folder/it's.emer"
_PRINTED = re.compile(r"(?:^|[`:] |run |`)emer-edge ((?:simulate )?[a-z]+)((?: --[a-z-]+| [\w./-]+)*)")


def commands() -> Iterator[tuple[str, Any]]:
    for name, found in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield from ((f"{name} {each}", one) for each, one in getattr(found, "commands", {name: found}).items())


COMMANDS = {name.removesuffix(f" {name.split()[0]}") if name.split()[0] == name.split()[-1] else name: found
            for name, found in commands()}  # fmt: skip


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every `command(...)` in the source: where it is, and its words, a path of blanks and quotes for variables."""
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "command(" in source else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command":
                yield f"{path.relative_to(ROOT)}:{node.lineno}", list(words(node.args, node, path))


def words(nodes: list[ast.expr], call: ast.Call, path: Path) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant):
            yield str(node.value)
        elif isinstance(node, ast.Starred):
            inner = node.value
            if isinstance(inner, ast.Name):  # a tuple that is named just before
                source = path.read_text()
                assigned = [each.value for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Assign)
                            and isinstance(each.targets[0], ast.Name) and each.targets[0].id == inner.id]  # fmt: skip
                inner = assigned[-1]
            if isinstance(inner, ast.IfExp):
                inner = inner.body
            if isinstance(inner, ast.Tuple):
                yield from words(inner.elts, call, path)
        else:
            yield (
                "7"
                if _COUNTED.search(ast.unparse(node))
                else "1"
                if "fold" in ast.unparse(node).lower()
                else "onnxruntime"
                if "name" in ast.unparse(node)
                else PATH
            )


@pytest.mark.case("a printed command on a path with blanks, pasted into a shell", before="its path is cut at the blank",
                  source="https://github.com/amoffat/sh/pull/756")  # fmt: skip
@pytest.mark.case("the command that `train` and `prepare` print next", before="Missing option '--output'", source="")
@pytest.mark.parametrize(("where", "given"), [pytest.param(*each, id=each[0]) for each in calls()])
def test_next_commands_are_read_as_they_are_meant(where: str, given: list[str]) -> None:
    name, *arguments = shlex.split(command(*given))[1:]
    assert (name, *arguments) == tuple(given)
    if name == "simulate":
        name = f"simulate {arguments.pop(0)}"
    found = COMMANDS[name]
    found.make_context(name, arguments, resilient_parsing=False)


def test_all_that_is_printed_names_a_command() -> None:
    """Commands in other texts have no paths of the user's, and name commands and flags that there are."""
    texts = [
        (path, node.value)
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "emer-edge " in node.value
    ]
    checked = 0
    for path, text in texts:
        for found in re.finditer(
            r"(?:^|[`:] |: |run:? |`)emer-edge ((?:simulate )?[a-z]+)((?: --[a-z-]+| [\w./-]+)*)", text
        ):
            name, rest = found[1], found[2]
            if name not in COMMANDS:
                continue
            flags = {"--help"} | {
                flag for option in COMMANDS[name].params for flag in (*option.opts, *option.secondary_opts)
            }
            assert set(re.findall(r"--[a-z-]+", rest)) <= flags, (path, found[0])
            checked += 1
    assert checked >= 10


REQUIRED = {
    "convert": ["a.mcap", "b.csv"],
    "export": ["--output", "x"],
    "prepare": ["v", "o"],
    "synth": ["o"],
    "train": ["--data", "d", "--output", "o"],
    "predict": ["d"],
    "report": ["s", "--output", "o"],
    "simulate recording": ["o"],
}


@pytest.mark.case("`--seconds inf`, `--offset-ms nan`, `1e300` and their like", before="tracebacks, runs without end")
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1e300", "9" * 400])
def test_no_option_takes_what_is_no_number(value: str) -> None:
    tried = 0
    for name, found in COMMANDS.items():
        known = inspect.signature(found.callback, eval_str=True).parameters
        for option in found.params:
            hint = str(known[option.name].annotation) if option.name in known else ""
            if option.opts[0].startswith("--") and re.search(r"Annotated\[(?:int|float)\b", hint):
                with pytest.raises((ConfigurationError, typer.BadParameter)):
                    found.make_context(name, [*REQUIRED.get(name, []), option.opts[0], value])
                tried += 1
    assert tried > 25
