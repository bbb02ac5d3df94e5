"""Reports are text in lines of 80 columns, whatever the terminal."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flskew._util.layout import Column, side_by_side
from flskew._util.lines import LINE, columns_of, sentences, wrapped

WORDS = st.lists(st.text("abé東_", min_size=1, max_size=12) | st.sampled_from(["5", "95", "%"]), min_size=1)


@given(words=WORDS)
def test_a_wrapped_text_has_the_same_words_in_lines_that_are_as_full_as_they_can_be(words: list[str]) -> None:
    text = wrapped(" ".join(words), indent="  ")
    assert text.split() == words
    lines = text.split("\n")
    assert all(line.startswith("  ") for line in lines[1:])
    assert all(columns_of(line) <= LINE for line in lines)
    for line, following in pairwise(lines):
        first, *rest = following.split()
        # Two words stay together if they are a number and its percent sign.
        first = f"{first} %" if rest[:1] == ["%"] and first[-1].isdigit() else first
        assert columns_of(f"{line} {first}") > LINE


def test_a_percent_sign_is_not_separated_from_its_number() -> None:
    assert wrapped(f"{'x' * 77} 95 % interval") == f"{'x' * 77}\n95 % interval"


def test_wide_characters_take_two_columns() -> None:
    # 26 names of 3 wide characters: 12 of them take 12 * 6 + 11 = 83 columns, 11 take 76.
    lines = wrapped(" ".join(["東京都"] * 26)).splitlines()
    assert [len(line.split()) for line in lines] == [11, 11, 4]


def test_accents_take_no_column_of_their_own() -> None:
    decomposed = "Lie\u0300ge"
    assert columns_of(decomposed) == len("Liège") == 5
    names = Column("city", [decomposed, "Genoa"], has_words=True)
    assert table(names, Column("rows", ["1", "2"])) == f"city  rows\n{decomposed}    1\nGenoa    2"


def test_a_word_longer_than_a_line_is_not_cut() -> None:
    assert wrapped(f"see {'x' * 100} there") == f"see\n{'x' * 100}\nthere"


def test_paragraphs_stay_apart_and_only_continued_lines_are_indented() -> None:
    assert (
        sentences(["Short.", "A " + "long " * 18 + "one."])
        == "Short.\nA " + "long " * 14 + "long\n  long long long one."
    )
    assert wrapped("one\ntwo\n\nthree") == "one\ntwo\n\nthree"


# Tables

FIGURES = ["0.123 ± 0.456", "1"]


def table(*columns: Column) -> str:
    text = side_by_side(columns)
    assert all(columns_of(line) <= LINE for line in text.splitlines())
    return text


def test_a_table_that_fits_has_one_line_per_row() -> None:
    splits, figures = Column("split", ["iid", "東"], has_words=True), Column("total_variation", ["0.1", "0.22"])
    assert table(splits, figures) == textwrap.dedent("""\
        split total_variation
        iid               0.1
        東               0.22""")


def test_headers_are_broken_before_anything_else() -> None:
    names = Column("hospital", ["a", "Bern, city"], has_words=True)
    figures = [Column(f"total_variation {number}", FIGURES) for number in range(4)]
    # 10 + 4 * 17 + 4 spaces are 82 columns, so two headers are enough.
    assert table(names, *figures) == textwrap.dedent("""\
                   total_variation total_variation
        hospital                 0               1 total_variation 2 total_variation 3
        a            0.123 ± 0.456   0.123 ± 0.456     0.123 ± 0.456     0.123 ± 0.456
        Bern, city               1               1                 1                 1""")


def test_words_are_broken_if_headers_are_not_enough() -> None:
    columns = (
        Column("split", ["digits: labels 0.4, Dirichlet", "iid"], has_words=True),
        Column("method", ["FedDyn, tuned", "FedAvg"], has_words=True),
        Column("gain", ["+0.000 ± 0.000"] * 2),
        Column("adjusted p", ["0.123", "1"]),
        Column("verdict", ["no evidence of a difference (one seed)", "better"], has_words=True),
    )
    assert table(*columns) == textwrap.dedent("""\
                                                         adjusted
        split               method                  gain        p verdict
        digits: labels 0.4, FedDyn, tuned +0.000 ± 0.000    0.123 no evidence of a
        Dirichlet                                                 difference (one seed)
        iid                 FedAvg        +0.000 ± 0.000        1 better""")


def test_a_table_of_many_figures_is_several_tables_with_the_same_first_column() -> None:
    figures = [Column(f"long header {number}", FIGURES) for number in range(7)]
    assert table(Column("name", ["a", "b"], has_words=True), *figures) == textwrap.dedent("""\
        name long header 0 long header 1 long header 2 long header 3 long header 4
        a    0.123 ± 0.456 0.123 ± 0.456 0.123 ± 0.456 0.123 ± 0.456 0.123 ± 0.456
        b                1             1             1             1             1

        name long header 5 long header 6
        a    0.123 ± 0.456 0.123 ± 0.456
        b                1             1""")


def test_only_a_word_longer_than_a_line_makes_a_table_wider() -> None:
    lines = side_by_side([Column("name", ["a" * 90, "b"], has_words=True), Column("figure", ["1", "2"])]).splitlines()
    assert [line.split() for line in lines] == [["name", "figure"], ["a" * 90, "1"], ["b", "2"]]
    assert side_by_side([Column("name", [], has_words=True)]) == "name"


TEXTS = st.text("ab_ 東", max_size=12)


@given(
    heads=st.lists(TEXTS, min_size=1, max_size=12),
    rows=st.lists(st.lists(TEXTS, min_size=12, max_size=12), max_size=3),
    words=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_every_table_fits_and_loses_no_letter(heads: list[str], rows: list[list[str]], words: list[bool]) -> None:
    columns = [Column(head, [row[place] for row in rows], words[place]) for place, head in enumerate(heads)]
    shown = Counter(table(*columns))
    expected = Counter(letter for column in columns for text in (column.head, *column.cells) for letter in text)
    assert all(shown[letter] >= expected[letter] for letter in "ab_東")


@given(
    heads=st.lists(
        st.lists(st.text("ab_", min_size=1, max_size=12), max_size=3).map(" ".join), min_size=1, max_size=12
    ),
    digits=st.lists(st.integers(1, 15), min_size=1, max_size=4),
)
def test_figures_stay_whole_and_below_their_own_header(heads: list[str], digits: list[int]) -> None:
    names = Column("name", [f"row{row}" for row in range(len(digits))], has_words=True)
    figures = [Column(head, [f"-{place}.{'9' * count}e+300" for count in digits]) for place, head in enumerate(heads)]
    seen = []
    for part in table(names, *figures).split("\n\n"):
        lines = part.splitlines()
        above, rows = lines[: -len(digits)], lines[-len(digits) :]
        assert [row.split()[0] for row in rows] == names.cells
        # Figures are aligned on the right, so all that ends where a figure ends is in its column.
        ends = [found.end() for found in re.finditer(r"\S+", rows[0])]
        for start, end in pairwise([max(ends[0], len("name")), *ends[1:]]):
            column = figures[len(seen)]
            seen.append(column)
            assert [row[start:end].strip() for row in rows] == column.cells
            assert "".join(line[start:end] for line in above).replace(" ", "") == column.head.replace(" ", "")
    assert seen == figures
