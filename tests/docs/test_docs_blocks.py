"""Every block of code in README.md, CONTRIBUTING.md and docs/ says its language and runs; few are skipped."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_pages import CODE, PAGES, ROOT, Block, blocks_of
from docs_runner import TRACKER, Place, Stock, as_on_a_desk
from machine import find_program
from typer.main import get_command

from emer_edge.cli.app import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BLOCKS = {page: blocks_of(page) for page in PAGES}
ALL = [block for blocks in BLOCKS.values() for block in blocks]
CODE_BLOCKS = [block for block in ALL if block.language in CODE]
STEPS = ("bash", "python")
MOST_SKIPPED = 0.1


def runs(block: Block, slow: bool) -> bool:
    """Whether a block is run by itself: now, or by the slow tests too."""
    return (
        block.language in STEPS and not {"skip", "elsewhere"} & set(block.said) and (slow or "slow" not in block.said)
    )


def pages(slow: bool) -> list[object]:
    found = [
        page for page in PAGES if any(runs(block, slow) and ("slow" in block.said) == slow for block in BLOCKS[page])
    ]
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in found]


def test_every_block_says_its_language() -> None:
    assert [block.name for block in ALL if block.language not in (*CODE, "text")] == []


def test_few_blocks_are_skipped_and_each_says_why() -> None:
    skipped = [block for block in CODE_BLOCKS if "skip" in block.said]
    assert len(CODE_BLOCKS) > 60
    assert [block.name for block in skipped if len(block.said["skip"].split()) < 4] == []
    assert len(skipped) <= MOST_SKIPPED * len(CODE_BLOCKS), [block.name for block in skipped]


def test_what_runs_elsewhere_does() -> None:
    for block in CODE_BLOCKS:
        if "elsewhere" in block.said:
            file, _, name = block.said["elsewhere"].partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), block.name


def commands_in(code: str) -> Iterator[list[str]]:
    """Words of every emer-edge command in a block, those behind pipes and `&&` too."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;"):
                if words[:1] and Path(words[0]).name == "emer-edge":
                    yield words[1:]
                words = []
            else:
                words.append(word)


WITH_COMMANDS = [pytest.param(block, id=block.name) for block in CODE_BLOCKS if block.language == "bash"
                 and any(commands_in(block.code))]  # fmt: skip


@pytest.mark.parametrize("block", WITH_COMMANDS)
def test_commands_are_read_as_they_are_written(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped ones and those with hardware, too: names, flags and values are those of the command line."""
    monkeypatch.chdir(tmp_path)
    for words in commands_in(block.code):
        for word in words:  # some arguments must be there
            if word.endswith((".emer", ".pem")):
                (tmp_path / word).mkdir(exist_ok=True)
        if words == ["--version"]:
            continue
        command = get_command(app)
        while hasattr(command, "commands"):
            assert words[0] in command.commands, words
            command = command.commands[words.pop(0)]
        plain = [word for at, word in enumerate(words) if not {"--config", "--secrets"} & {word, words[at - 1]}]
        command.make_context("emer-edge", plain)


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.name) for block in CODE_BLOCKS if block.language not in STEPS]
)
def test_files_that_are_shown_can_be_read(block: Block) -> None:
    if block.language == "json":
        json.loads(block.code)
    elif block.language == "ini":
        configparser.ConfigParser(strict=True).read_string(block.code)
    elif block.language == "yaml":
        import yaml

        assert yaml.safe_load(block.code)
    elif block.language == "toml":
        keys = set(tomllib.loads(block.code)) - {"project", "stream"}
        run = get_command(app).commands["run"]  # type: ignore[attr-defined]
        assert keys <= {flag.removeprefix("--") for option in run.params for flag in option.opts}
    else:
        compiler = find_program("gcc", "cc")
        if compiler is None:
            pytest.skip("gcc is not installed (make test-deps)")
        command = [compiler, "-std=c99", "-fsyntax-only", "-Werror", "-I", str(ROOT / "docs/firmware"), "-x", "c", "-"]
        subprocess.run(command, input=block.code, text=True, check=True)


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"))


def run_page(page: Path, folder: Path, stock: Stock, slow: bool) -> None:
    place = Place(folder, stock)
    chosen = [block for block in BLOCKS[page] if runs(block, slow)]
    if any(TRACKER in block.code for block in chosen):
        place.start(
            [sys.executable, "-m", "emer_edge", "simulate", "tracker", "--link", "tracker"], "the simulated tracker"
        )
    try:
        for block in chosen:
            place.provide(block.said.get("needs", "").split())
            command = (
                ["bash", "-euo", "pipefail", "-c", block.code]
                if block.language == "bash"
                else [sys.executable, "-c", block.code]
            )
            if "checked" in block.said:
                command = ["env", "EMER_EDGE_DOCS_CHECK=1", *command]
            if "background" in block.said:
                place.start(command, block.name, block.said.get("prints", ""))
            else:
                assert block.said.get("prints", "") in place.run(command, block.name, 900.0), block.name
    finally:
        place.close()


@pytest.mark.parametrize("page", pages(slow=False))
def test_quick_blocks_of_a_page_run(page: Path, tmp_path: Path, stock: Stock) -> None:
    run_page(page, tmp_path / "reader", stock, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(slow=True))
def test_all_blocks_of_a_page_run(page: Path, tmp_path: Path, stock: Stock) -> None:
    run_page(page, tmp_path / "reader", stock, slow=True)


def test_a_block_that_fails_and_an_unknown_word_are_found(tmp_path: Path) -> None:
    text = "<!-- test: slow, needs a b -->\n```bash\nfalse\n```\n\n"
    text += "<!-- test: skip, for a reason, really -->\n```python\nx\n```\n"
    first, second = blocks_of(tmp_path / "made-up.md", text)
    assert (first.said, second.said) == ({"slow": "", "needs": "a b"}, {"skip": "for a reason, really"})
    with pytest.raises(AssertionError, match="unknown directive 'quick'"):
        blocks_of(tmp_path / "made-up.md", "<!-- test: quick -->\n```bash\ntrue\n```\n")
    with pytest.raises(AssertionError, match="ended with 1"):
        Place(tmp_path / "reader", Stock(tmp_path)).run(
            ["bash", "-euo", "pipefail", "-c", "false | true"], "made-up", 10.0
        )


def test_stand_ins_change_what_they_say_and_nothing_else(tmp_path: Path) -> None:
    given = ["run", "a.emer", "--camera", "0", "--tracker", "/dev/ttyUSB0?baud=9600", "--nice", "0"]
    tracker = f"{Path('tracker').absolute()}?baud=9600"
    assert as_on_a_desk(given) == [*given[:3], "synthetic://", "--tracker", tracker, "--nice", "0", "--seconds", "14"]
    assert as_on_a_desk(["info", "0"]) == ["info", "0"]
    assert os.environ.get("EMER_EDGE_DOCS_CHECK") is None
