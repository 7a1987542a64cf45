"""What the site has beside the files of docs/: a hook of MkDocs (mkdocs.yml), and functions that tests call.

- the front page is README.md; the changelog, contributing and security pages are the files of the repository
- the command reference is made from the commands themselves
- the notebook becomes a page
- links to other files of the repository lead to copies of them below `files/`
"""

from __future__ import annotations

import contextlib
import html
import inspect
import io
import json
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FROM_ROOT = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md",
             "security-policy.md": "SECURITY.md"}  # fmt: skip
COMMANDS = "commands.md"
NOTEBOOK = "notebooks/session.md"
_SHIM = "https://unpkg.com/iframe-worker/shim"
PANEL = "Options"
_LINK = re.compile(r"(\]\(|src=\"|href=\")([^)\s\"#]+)(#[^)\s\"]*)?")
_FOLDER = re.compile(r"\[([^\]]+)\]\(([^)#:]+)\)")  # a link to a folder becomes its words
_PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)


def generated_pages() -> dict[str, str]:
    """Path below docs/ -> Markdown of every page that is no file there."""
    pages = {place: from_root(file, place) for place, file in FROM_ROOT.items()}
    pages[COMMANDS] = command_reference()
    pages[NOTEBOOK] = notebook_page(DOCS / "notebooks" / "session.ipynb")
    return pages


def from_root(file: str, place: str) -> str:
    """A page at the root of the repository, its links as seen from `place` below docs/."""
    text = _PICTURE.sub(_both_pictures, (ROOT / file).read_text("utf-8"))
    return relinked(text, ROOT, place)


def relinked(text: str, folder: Path, place: str) -> str:
    """Links of a page in `folder` as seen from `place`: to pages of docs/ there, to other files below `files/`.

    Code is left alone.
    """

    def link(match: re.Match[str]) -> str:
        begin, target, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = Path(posixpath.normpath(str(folder / target)))
        if not path.exists():
            return match[0]
        inside = path.relative_to(DOCS) if path.is_relative_to(DOCS) else None
        if inside is not None and inside.suffix == ".ipynb":
            to = str(inside.with_suffix(".md"))
        elif inside is not None and path.is_file():
            to = str(inside)
        elif path.is_dir():
            return match[0]
        else:
            relative = str(path.relative_to(ROOT))
            to = next((page for page, file in FROM_ROOT.items() if file == relative), f"files/{relative}.txt")
        return begin + posixpath.relpath(to, posixpath.dirname(place) or ".") + anchor

    text = _FOLDER.sub(lambda match: match[1] if (folder / match[2]).is_dir() else match[0], text)
    pieces = re.split(r"(^```.*?^```\n)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if piece.startswith("```") else _LINK.sub(link, piece) for piece in pieces)


def _both_pictures(match: re.Match[str]) -> str:
    """A <picture> of two schemes as two images, of which the theme shows one."""
    dark, light = re.search(r'srcset="([^"]+)"', match[0]), re.search(r'src="([^"]+)"', match[0])
    words = re.search(r'alt="([^"]*)"', match[0])
    assert dark is not None
    assert light is not None
    assert words is not None
    return f"![{words[1]}]({light[1]}#only-light)\n![{words[1]}]({dark[1]}#only-dark)"


def linked_files() -> Iterator[str]:
    """Files of the repository outside of docs/ that pages link to."""
    seen = set()
    pages = [(ROOT / file, ROOT) for file in FROM_ROOT.values()] + [(page, page.parent) for page in DOCS.rglob("*.md")]
    for page, folder in pages:
        for match in _LINK.finditer(page.read_text("utf-8")):
            path = Path(posixpath.normpath(str(folder / match[2])))
            if re.match(r"[a-z]+:", match[2]) or not path.is_file() or path.is_relative_to(DOCS):
                continue
            relative = str(path.relative_to(ROOT))
            if relative not in FROM_ROOT.values() and relative not in seen:
                seen.add(relative)
                yield relative


@cache
def command_reference() -> str:
    """Every command, its arguments and options, as `--help` has them."""
    from typer.main import get_command

    from emer_edge.cli.app import app

    root: Any = get_command(app)
    parts = [
        "# Commands",
        "Made from the commands themselves: `emer-edge COMMAND --help` says the same.",
        str(root.help),
    ]
    for name, command in _commands(root):
        parts += _one_command(name, command)
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, before: str = "emer-edge") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def _one_command(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    with contextlib.redirect_stdout(io.StringIO()):  # which names what is registered in the options' help
        command.format_help(context, context.make_formatter())
    kinds = {
        key: _kind(each.annotation)
        for key, each in inspect.signature(command.callback, eval_str=True).parameters.items()
    }
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    yield f"## {name.removeprefix('emer-edge ')}"
    yield f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```"
    yield _plain(command.help or "")
    if arguments:
        rows = [f"| `{each.metavar}` | {_cell(each.help or '')} |" for each in arguments]
        yield "\n".join(["| argument | what |", "| --- | --- |", *rows])
    panels: dict[str, list[str]] = {}
    for option in command.params:
        if option.param_type_name == "option" and not option.hidden:
            panels.setdefault(option.rich_help_panel or PANEL, []).append(
                _option_row(option, kinds.get(option.name, ""))
            )
    for panel, rows in panels.items():
        yield "\n".join([f"| {panel.lower()} | what | default |", "| --- | --- | --- |", *rows])


def _kind(annotation: Any) -> str:
    """What a flag takes: `Annotated[Path | None, ...]` -> `PATH`; nothing for a switch."""
    plain = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    kinds = (
        [each for each in get_args(plain) if each is not type(None)]
        if get_origin(plain) in (Union, UnionType)
        else [plain]
    )
    if get_origin(kinds[0]) is Literal:
        return "\\|".join(map(str, get_args(kinds[0])))
    inner = (get_args(kinds[0]) or kinds)[0]
    return {Path: "PATH", int: "NUMBER", float: "NUMBER", bool: "", str: "TEXT"}.get(inner, "TEXT")


def _option_row(option: Any, kind: str) -> str:
    flags = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    default = option.default
    shown = "" if default in (None, False, "", ()) or callable(default) else f"`{default}`"
    shown = f"`{option.show_default}`" if isinstance(option.show_default, str) else shown
    takes = "" if option.is_flag else f" {option.metavar or kind}".rstrip().replace("[", "\\[")
    return f"| {flags}{takes} | {_cell(option.help or '')} | {'required' if option.required else shown} |"


def _plain(text: str) -> str:
    """Help as Markdown: lines of a paragraph joined, brackets of Rich's markup unescaped."""
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\\[", "[").split("\n\n"))


def _cell(text: str) -> str:
    return html.escape(_plain(text), quote=False).replace("|", "\\|").replace("*", "\\*").replace("[", "\\[")


def notebook_page(path: Path) -> str:
    """A notebook as Markdown: its texts, its code, what it printed, and its pictures."""
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                parts.append(
                    '<img alt="the figure that this code draws" src="data:image/png;base64,'
                    f'{data["image/png"].strip()}">'
                )
            elif text := "".join(output.get("text", data.get("text/plain", ""))):
                parts.append(f"```text\n{text.rstrip()}\n```")
    note = "This page is `docs/notebooks/session.ipynb` of the repository; run it to see the figures."
    return "\n\n".join([parts[0], note, *parts[1:]]) + "\n"


def on_files(files: Any, config: Any) -> Any:
    """MkDocs: add pages and files that are not in docs/."""
    from mkdocs.structure.files import File

    for place, text in generated_pages().items():
        files.append(File.generated(config, place, content=text))
    for file in linked_files():
        files.append(File.generated(config, f"files/{file}.txt", content=(ROOT / file).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """MkDocs: lead the links of a page of docs/ to where their files are in the site."""
    place = page.file.src_uri
    return markdown if place in generated_places() else relinked(markdown, (DOCS / place).parent, place)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """MkDocs: the one script that the theme would load from elsewhere, for searching from a disk, is the site's own."""
    return output.replace(_SHIM, posixpath.relpath("iframe-worker.js", posixpath.dirname(page.url) or "."))


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """MkDocs: the same for the page that says that there is no such page."""
    return output_content.replace(_SHIM, "iframe-worker.js")


def generated_places() -> tuple[str, ...]:
    """Paths of the generated pages."""
    return (*FROM_ROOT, COMMANDS, NOTEBOOK)
