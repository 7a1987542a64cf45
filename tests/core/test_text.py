from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.errors import DataError
from emer_edge.core.text import decode_text

PATH = Path("notes.csv")
WORDS = "Recording timestamp [µs]\tGröße\n1\t2\n"
HANZI = "编号,情绪,表情\n1_film,高兴,中性\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WORDS, "utf-8"),
        (WORDS, "utf-8-sig"),
        (WORDS, "utf-16"),
        (WORDS, "utf-32"),
        (HANZI, "utf-8"),
        (HANZI, "utf-16"),
    ],
)
def test_a_marked_file_and_utf_8_need_no_guess(text: str, encoding: str) -> None:
    decoded = decode_text(text.encode(encoding), PATH, guess=False)
    assert (decoded.text, decoded.note) == (text, "")


@pytest.mark.case(
    "a table in GBK with Chinese headers, as Excel writes it on a Chinese Windows",
    before="headers became ±àºÅ, ÇéÐ÷; 'has no column 编号'",
)
@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (HANZI, "gbk", "GBK"),
        ("Recording timestamp [μs]\tb\n", "gbk", "GBK"),
        (WORDS, "cp1252", "Latin-1"),
        ("intensité;créée;°C;µm;ÄÖ ½\n", "cp1252", "Latin-1"),
        ("a\x81,b\x8d\n", "latin-1", "Latin-1"),
        (WORDS, "utf-16-le", "UTF-16"),
        (WORDS, "utf-16-be", "UTF-16"),
    ],
)
def test_a_guessed_encoding_is_named_and_can_be_refused(text: str, encoding: str, name: str) -> None:
    content = text.encode(encoding)
    decoded = decode_text(content, PATH)
    assert decoded.text == text
    assert name in decoded.note
    with pytest.raises(DataError, match=f"{name}.*save it as UTF-8"):
        decode_text(content, PATH, guess=False)


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\n"], ids=["crlf", "cr", "lf"])
def test_lines_end_alike_and_nothing_else_ends_a_line(ends: str) -> None:
    text = ends.join(("a\x0bb", "c\x85d", "e\u2028f", ""))
    assert decode_text(text.encode(), PATH).text == "a\x0bb\nc\x85d\ne\u2028f\n"


@pytest.mark.case(
    "a UTF-8 table of which a few bytes are damaged, or the last character cut",
    before="the whole table was read as Latin-1: 'timestamp [Âµs]'",
)
@pytest.mark.parametrize("content", ["[µs] µ µ \n".encode() + b"\xff1\n", "µs µs ß\u20ac".encode()[:-1]])
def test_damaged_bytes_cost_themselves_only(content: bytes) -> None:
    decoded = decode_text(content, PATH)
    assert "µ" in decoded.text
    assert "\ufffd" in decoded.text
    assert "no UTF-8" in decoded.note


@pytest.mark.case(
    "a table that ends in a block of zero bytes, after the power went", before="'neither a workbook nor a text table'"
)
def test_zero_bytes_at_the_end_are_no_text() -> None:
    assert decode_text(b"a,b\n1,2\n" + bytes(512), PATH).text == "a,b\n1,2\n"


@pytest.mark.parametrize("content", [b"\x00\x01\x02binary", b"\xff\xfe\x00", b"a\x00b\x00\x00\x00c" * 9])
def test_binary_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"notes\.csv"):
        decode_text(content, PATH)


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_a_data_error(content: bytes) -> None:
    try:
        text = decode_text(content, PATH).text
    except DataError:
        return
    assert "\r" not in text
    assert "\x00" not in text


@given(st.text(st.characters(exclude_characters="\x00\r\ufeff", exclude_categories=["Cs"]), min_size=1))
def test_what_is_utf_8_is_read_as_it_is(text: str) -> None:
    assert decode_text(text.encode(), PATH).text == text
    assert decode_text(text.encode("utf-16"), PATH).text == text
