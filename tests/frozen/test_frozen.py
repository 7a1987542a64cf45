"""The product's outputs against frozen ones, and whether the comparison sees what it must."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from freezing import Frozen, compare, freeze, seal, thaw, this_machine
from make import CASES, FOLDER, Workshop
from masks import BY_EXPORTER, BY_MACHINE, BY_PACKAGES, BY_PIXELS, HEADS, MASKS
from shared_work import folder_of_all
from trees import Number, dump, from_csv, parse


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One folder for all processes that run tests: what one has exported, the others take."""
    return Workshop(folder_of_all(tmp_path_factory) / "frozen")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_an_output_is_as_it_was_frozen(name: str, workshop: Workshop) -> None:
    frozen = thaw(text_of(name))
    case = CASES[name]
    assert frozen.precision == case.precision
    found = compare(frozen, case.make(workshop), this_machine())
    more = [f"and {len(found) - 20} more"] if len(found) > 20 else []
    help_ = f"if this is meant: python tests/frozen/make.py {name}, in the same commit, with the reason"
    assert not found, "\n".join([f"{name} is not as it was frozen:", *found[:20], *more, help_])


@pytest.mark.parametrize("name", CASES)
def test_one_altered_byte_is_seen_on_any_machine(name: str) -> None:
    text = text_of(name)
    assert compare(thaw(text), thaw(text).content, this_machine()) == []
    for place in {*range(200), *range(200, len(text), 499), len(text) - 1}:
        other = "7" if text[place] != "7" else "8"
        with pytest.raises(ValueError, match="not as it was frozen"):
            thaw(text[:place] + other + text[place + 1 :])
    for altered in (text + "\n", text[:-1], text.replace("\n", "\r\n"), ""):
        with pytest.raises(ValueError, match="not as it was frozen"):
            thaw(altered)


# the machine that froze a file; one with the same packages; one whose OpenCV rounds otherwise; one with older packages
HERE = this_machine()
ELSEWHERE = {**HERE, "cpu": "another"}
OTHER_PIXELS = {**ELSEWHERE, "pixels": "others"}
OLDER = {**ELSEWHERE, "versions": {**HERE["versions"], "onnx": "1.0"}}


def moved(name: str, pattern: str, change: Callable[[str], str], machine: Any) -> list[str]:
    """Alter the first place that a pattern names in a copy of a file, and compare with the file."""
    text = text_of(name)
    frozen = replace(thaw(text), machine=HERE)
    start, end = next(re.finditer(pattern, text)).span(1)
    altered = thaw(seal(text[:start] + change(text[start:end]) + text[end:]))
    return compare(frozen, altered.content, machine)


def by(amount: float) -> Callable[[str], str]:
    return lambda text: repr(float(text) + amount)


@pytest.mark.parametrize("name", ["replay-fp32", "predict-fp32", "recording", "session"])
def test_a_number_is_held_to_the_byte_here_and_within_its_bound_elsewhere(name: str) -> None:
    number = r'happiness": (0\.[0-9]+)'
    assert moved(name, number, lambda text: text + "1", HERE)
    assert not moved(name, number, by(5e-6), ELSEWHERE)
    assert len(moved(name, number, by(3e-5), ELSEWHERE)) == 1
    assert len(moved(name, number, by(-3e-5), OLDER)) == 1


def test_the_bound_is_absolute_and_relative() -> None:
    frozen = Frozen("fp32", HERE, {"x": Number("1000.0")})
    assert not compare(frozen, {"x": Number("1000.01")}, ELSEWHERE)
    assert compare(frozen, {"x": Number("1000.0101")}, ELSEWHERE) == [".x: 1000.0 was frozen, 1000.0101 came"]
    assert compare(frozen, {"x": Number("1000.00")}, HERE)
    assert compare(frozen, {"x": 1000}, ELSEWHERE)
    assert compare(frozen, {"x": None}, ELSEWHERE)
    assert compare(frozen, {"x": Number("NaN")}, ELSEWHERE)


def test_int8_and_fp32_on_other_pixels_are_held_by_a_top_class_that_leads() -> None:
    number = r'positive": ([0-9.e-]+)'
    assert moved("replay-int8", number, lambda text: text + "1", HERE)
    assert not moved("replay-int8", number, by(0.0001), ELSEWHERE)
    assert not moved("replay-fp32", number, by(0.0001), OTHER_PIXELS)
    top, other = '{"heads": {"er-3": {"positive": 0.9, "negative": 0.1}}}', '{"positive": 0.3, "negative": 0.7}'
    frozen, new = Frozen("int8", HERE, {"results": [parse(top)]}), {"results": [{"heads": {"er-3": parse(other)}}]}
    assert len(compare(frozen, new, ELSEWHERE)) == 1
    assert len(compare(replace(frozen, precision="fp32"), new, OTHER_PIXELS)) == 1
    near = Frozen("int8", HERE, {"results": [parse(top.replace("0.9", "0.55").replace("0.1", "0.45"))]})
    assert not compare(near, new, ELSEWHERE)
    assert compare(frozen, {"results": [{"heads": {"er-3": {"positive": Number("1.0")}}}]}, ELSEWHERE)


@pytest.mark.parametrize("machine", [HERE, OTHER_PIXELS, OLDER], ids=["here", "pixels", "older"])
@pytest.mark.parametrize(
    ("name", "pattern", "change"),
    [
        ("replay-fp32", r'"note: demo (weights)', str.upper),
        ("replay-int8", r'"state": "(ok)"', lambda _: "stale"),
        ("replay-int8", r'"(face_slots)"', lambda _: "slots"),
        ("session", r'"end_ns": (\d+)', lambda text: str(int(text) + 1)),
        ("session", r'"filling": (\d+)', lambda text: str(int(text) - 1)),
        ("predict-int8", r'"er-7": \{\s*"(\w+)"', lambda _: "joy"),
        ("bench", r'"clips": (\d+)', lambda text: str(int(text) + 1)),
        ("bundle-int8", r'"QuantizeLinear": (\d+)', lambda text: str(int(text) + 1)),
        ("recording", r'"encoding": ("json"),', lambda _: "null"),
        ("recording", r'"columns": \[\s*("\w+",)', lambda _: ""),
    ],
)
def test_structure_counts_and_words_are_held_everywhere(
    name: str, pattern: str, change: Callable[[str], str], machine: Any
) -> None:
    assert moved(name, pattern, change, machine)


def test_hashes_of_networks_are_held_where_their_tools_are_the_same() -> None:
    digest = r'fusion\.onnx": \{"sha256": "(\w)'

    def other(_: str) -> str:
        return "x"

    assert moved("bundle-fp32", digest, other, HERE)
    assert moved("bundle-fp32", digest, other, ELSEWHERE)
    assert not moved("bundle-fp32", digest, other, OLDER)
    assert moved("bundle-int8", digest, other, HERE)
    assert not moved("bundle-int8", digest, other, ELSEWHERE)


def test_hashes_of_clips_are_held_where_all_packages_are_the_same_and_counts_of_bins_where_pixels_are() -> None:
    for name, pattern in (
        ("bundle-int8", r'"clip_hashes": \[\s*"(\w)'),
        ("bench", r'"data": \{\s*"fingerprint": "(\w)'),
        ("bench", r'"accuracy": \{\s*"fold": 1,\s*"fingerprint": "(\w)'),
    ):
        assert moved(name, pattern, lambda _: "x", ELSEWHERE)
        assert not moved(name, pattern, lambda _: "x", OLDER)
    count = r'"reliability": \[[^\]]*"count": ([1-9])'
    assert moved("bench", count, lambda _: "0", OLDER)
    assert not moved("bench", count, lambda _: "0", OTHER_PIXELS)


def test_order_of_names_and_lengths_are_held() -> None:
    frozen = Frozen("fp32", HERE, {"a": 1, "b": [1, 2]})
    assert compare(frozen, {"b": [1, 2], "a": 1}, ELSEWHERE)
    assert compare(frozen, {"a": 1, "b": [1]}, ELSEWHERE) == [".b: 2 were frozen, 1 came"]
    assert compare(frozen, {"a": True, "b": [1, 2]}, ELSEWHERE)


def test_text_survives_reading_and_writing() -> None:
    text = '{"a": [1, 2.50, 1e-7, null, true], "b": {"ü": "x", "c": []}}'
    assert dump(parse(text)) == text
    assert thaw(freeze(parse(text), "fp32")).content == parse(text)
    assert dump(from_csv("a,b\n1,x\n-0.50,\n")["rows"]) == '[{"a": 1, "b": "x"}, {"a": -0.50, "b": ""}]'


def paths(value: Any, path: str = "") -> Iterator[str]:
    yield path
    children = value.items() if isinstance(value, dict) else []
    for key, each in children:
        yield from paths(each, f"{path}.{key}")
    for each in value if isinstance(value, list) else []:
        yield from paths(each, path)


def test_no_mask_is_idle_and_no_place_of_this_machine_is_kept() -> None:
    contents = [thaw(text_of(name)).content for name in CASES]
    known = {path for content in contents for path in paths(content)}
    for where in (*(mask.where for mask in MASKS), BY_EXPORTER, BY_MACHINE, BY_PACKAGES, BY_PIXELS, HEADS):
        assert any(re.fullmatch(where, path) for path in known), where
    for name in CASES:
        assert not re.search(r"/(tmp|home|root|Users)/|" + re.escape(str(Path.home())) + "/", text_of(name))
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CASES)
