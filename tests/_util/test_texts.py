"""Text from elsewhere is made safe to print: without terminal escapes, on one line, and of bounded length."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flskew._util.texts import LONGEST_LINE, LONGEST_NAME, cut, is_name, listed, one_line, printable

SPECIAL = ["\x1b", "[", "]", "31m", "\x07", "\\", "\x9b", "\x9d", "\x9c", "\x90", ";", "\n", "a", "\u202e", "\ud800"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;new title\x07text", "text"),
        ("\x1b]8;;https://a.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1bPq#0\x1b\\text\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\", "text"),
        ("\x1b]unfinished", "unfinished"),
        ("\x1b(Bplain\x1b=\x1bc", "plain"),
        ("\x1b", ""),
        ("bell\x07 null\x00 backspace\x08 delete\x7f c1\x85\x9f", "bell null backspace delete c1 "),
        ("one\rtwo\ttwo\u2028three\u00a0four", "one two two three four"),
        ("user\u202egnp.exe\u2066\u2069\u061c", "usergnp.exe"),
        ("zero\u200b\u200c\u200d\u2060\ufeff\u00adwidth", "zerowidth"),
        ("tags\U000e0041\ufe0f\U000e0100\u3164\u115f", "tags"),
        ("half\ud800", "half"),
        ("Zürich, Bern, 東京, 🙂 and %s {0}", "Zürich, Bern, 東京, 🙂 and %s {0}"),
    ],
)
def test_escapes_and_invisible_characters_are_removed(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert is_name(text) is (text == shown)


@given(text=st.text() | st.lists(st.sampled_from(SPECIAL)).map("".join))
def test_every_text_becomes_printable_and_cleaning_it_again_changes_nothing(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown
    assert printable(text, keep="\n").replace("\n", "").isprintable()
    line = one_line(text * 50)
    assert len(line) <= LONGEST_LINE
    assert one_line(line) == line


@pytest.mark.parametrize("start", ["\x1b[", "\x1b]", "\x9d", "\x90", "\x1b", "\x1b[1", "\x1b]a", "\x9b;", "\x1b "])
@pytest.mark.parametrize("end", ["", "\x07", "\x1b\\", "m"])
def test_a_megabyte_of_escape_sequences_that_do_not_end_is_read_to_its_end(start: str, end: str) -> None:
    # A pattern that tries the rest of the text at each start would take days.
    assert printable(start * 200_000 + end + "x" * 200_000).isprintable()


def test_a_long_text_keeps_both_ends() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("a" * 10 + "b" * 10, 9) == "aaa … bbb"
    assert one_line("first" + "\x00" * 10_000_000 + "last") == "first … last"


@pytest.mark.parametrize("name", ["", "x" * (LONGEST_NAME + 1), "\n", b"bytes", None, 3])
def test_an_empty_or_long_text_is_not_a_name(name: object) -> None:
    assert not is_name(name)
    assert is_name("x" * LONGEST_NAME)


def test_only_a_few_of_many_names_are_listed() -> None:
    assert listed([]) == ""
    assert listed([str(i) for i in range(10)]).count("'") == 20
    assert listed([str(i) for i in range(11)]).endswith("'9' and 1 more")
    assert len(listed(["x" * 10**6] * 20)) < 11 * LONGEST_NAME
