"""The rules of the house: which room may import which, and what never reaches a device."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import emer_edge
from benchmarks.house import MOST_LINES, Module, circles, documentation, imports, modules, positional_calls

ROOT = Path(emer_edge.__file__).parent
FLOORS = {
    "core": 0,
    "signals": 1,
    "metrics": 1,
    "bundle": 1,
    "data": 2,
    "model": 2,
    "report": 2,
    "calibration": 3,
    "runtime": 3,
    "training": 4,
    "export": 4,
    "bench": 4,
    "offline": 4,
    "tools": 4,
    "cli": 5,
    "demo": 5,
}
DEVICE_ROOMS = ("core", "signals", "metrics", "bundle", "data", "report", "runtime", "bench", "offline", "tools")
HEAVY = ("torch", "onnx", "pandas", "matplotlib")
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem == "demo")


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@pytest.fixture(scope="session")
def house() -> list[Module]:
    return modules()


def test_a_room_imports_only_from_floors_below(house: list[Module]) -> None:
    names = {module.name for module in house}
    broken = []
    for module in house:
        if module.path.parent == ROOT and module.path.stem != "demo":
            continue
        room = room_of(module.path)
        for name in imports(module, names):
            other = name.split(".")[1]
            if other != room and other in FLOORS and not (FLOORS[other] < FLOORS[room] or FLOORS[room] == 5):
                broken.append(f"{module.name} (floor {FLOORS[room]}) imports {name}")
    assert broken == []


def test_no_import_goes_in_a_circle(house: list[Module]) -> None:
    assert circles(house) == []


def test_no_file_is_too_long(house: list[Module]) -> None:
    assert [f"{module.name} {module.lines}" for module in house if module.lines > MOST_LINES] == []


def test_public_names_are_documented(house: list[Module]) -> None:
    share, without = documentation(house)
    assert share >= 0.94, without


def test_calls_name_what_they_pass_beyond_four_arguments(house: list[Module]) -> None:
    assert positional_calls(house) == []


def module(name: str, text: str) -> Module:
    return Module(name, ROOT / "made-up.py", text, ast.parse(text))


def test_imports_by_name_and_for_type_checkers_count() -> None:
    names = {"emer_edge.a", "emer_edge.b", "emer_edge.c"}
    by_text = module("emer_edge.a", "import_module('emer_edge.b')\nHOME = 'emer_edge.c:Output'")
    assert imports(by_text, names) == {"emer_edge.b", "emer_edge.c"}
    for_types = module("emer_edge.b", "if TYPE_CHECKING:\n    from emer_edge.a import Thing")
    assert imports(for_types, names) == {"emer_edge.a"}
    assert circles([by_text, for_types]) == [["emer_edge.a", "emer_edge.b"]]
    assert circles([by_text, module("emer_edge.b", "")]) == []


def test_long_calls_and_missing_docstrings_are_found() -> None:
    text = "def own(a, b, c, d, e): ...\nown(1, 2, 3, 4, 5)\nown(1, 2, 3, 4, e=5)\nother(1, 2, 3, 4, 5)"
    calls = positional_calls([module("emer_edge.a", text)])
    assert [call.rpartition(":")[2] for call in calls] == ["2 own (5)"]
    assert documentation([module("emer_edge.a", '"""A."""\ndef own(): ...\ndef _inner(): ...')]) == (
        0.5,
        ["emer_edge.a.own"],
    )


def heavy_behind(*rooms: str) -> list[str]:
    """What is heavy among all that a process has loaded after it imported every module of some rooms."""
    names = [
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for path in MODULES
        if room_of(path) in rooms and path.name != "__init__.py"
    ]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
    code += f"print([name for name in {HEAVY!r} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return list(ast.literal_eval(output))


def test_nothing_heavy_reaches_a_device() -> None:
    heavy = heavy_behind(*DEVICE_ROOMS)
    assert heavy == [], {
        room: heavy_behind(room) for room in DEVICE_ROOMS
    }  # one process; a process a room only to say which


def test_what_is_heavy_is_seen() -> None:
    assert "torch" in heavy_behind("core", "model")


def test_importing_the_package_costs_nothing_but_the_standard_library() -> None:
    code = "import sys; before = set(sys.modules); import emer_edge; print(sorted(set(sys.modules) - before))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    new = {name.split(".")[0] for name in ast.literal_eval(output)} - set(sys.stdlib_module_names)
    assert new == {"emer_edge"}


def test_every_public_name_resolves() -> None:
    for name in emer_edge.__all__:
        assert getattr(emer_edge, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        emer_edge.nothing  # noqa: B018


def test_the_doors_of_the_house_lead_to_its_rooms() -> None:
    for room in ("export", "calibration", "runtime"):
        door = ROOT.parent / room
        if door.parent.joinpath("pyproject.toml").exists():
            assert door.resolve() == (ROOT / room).resolve()


def test_no_two_test_files_share_a_name() -> None:
    names = Counter(each.name for each in (ROOT.parent / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


NAMES = ("cpu", "tensorrt", "onnxruntime")
SPELLERS = ("bundle/variants.py", "runtime/engines/onnxruntime_engine.py", "runtime/engines/tensorrt/")


def spelled(path: Path) -> list[str]:
    """Names of engines and variants in a module's strings, those among packages, processors or keys left out."""
    found, meant = [], set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            strings = [
                each
                for each in (node.keys if isinstance(node, ast.Dict) else node.elts)
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            if any(each.value.partition("/")[0] not in NAMES for each in strings):
                meant.update(strings)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "figures":  # a document's keys
            meant.add(node.slice)
        elif isinstance(node, ast.Constant) and str(node.value).partition("/")[0] in NAMES and node not in meant:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}")
    return found


def test_engines_and_variants_are_named_by_their_records_alone() -> None:
    rooms = [path for path in MODULES if room_of(path) not in ("model", "training")]  # whose "cpu" is torch's
    modules = [path for path in rooms if not str(path.relative_to(ROOT)).startswith(SPELLERS)]
    assert [each for path in modules for each in spelled(path)] == []


def test_a_spelled_engine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_house.ROOT", tmp_path)
    (tmp_path / "a.py").write_text('"cpu"; ("cpu/fusion", "tensorrt"); ("numpy", "onnxruntime"); f"tensorrt/{1}"')
    assert spelled(tmp_path / "a.py") == [
        "a.py:1 'cpu'",
        "a.py:1 'cpu/fusion'",
        "a.py:1 'tensorrt'",
        "a.py:1 'tensorrt/'",
    ]
