"""The report of a split: its figures, its remarks, and each format."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from flskew import Assignment, DirichletPartitioner, IidPartitioner, skew

THREE = np.array([[8, 0, 2], [0, 5, 5], [0, 0, 0]])


def said(counts: list[list[int]], **names: list[str]) -> list[str]:
    """All remarks but the last, which compares with chance."""
    return list(skew.report(skew.tally(np.array(counts), **names)).remarks[:-1])


def test_every_measure_is_in_the_report() -> None:
    report = skew.report(THREE)
    assert report.measures == {name: measure(THREE) for name, measure in skew.MEASURES.items()}
    assert report.iid_total_variation == skew.iid_total_variation(THREE)


def test_partitions_with_missing_classes_are_named() -> None:
    assert said([[5, 0, 0, 5, 5, 5], [5, 5, 5, 5, 5, 0]]) == [
        "Partition 0 is missing classes 1 and 2.",
        "Partition 1 is missing class 5.",
    ]


def test_if_most_classes_are_missing_the_others_are_named() -> None:
    assert said([[5, 5, 0, 0, 0], [5, 5, 5, 5, 5]], class_names=list("abcde")) == [
        "Partition 0 has only classes a and b."
    ]


def test_many_partitions_with_missing_classes_are_counted_and_the_worst_is_named() -> None:
    counts = np.full((10, 4), 5)
    counts[:5, 0] = 0
    counts[3, 1:3] = 0
    assert said(counts.tolist()) == [
        "5 of 10 partitions are missing at least one class.",
        "Partition 3 has only class 3.",
    ]


def test_classes_in_one_partition_are_named_if_partitions_are_not() -> None:
    counts = np.full((10, 4), 5)
    counts[1:, 0] = 0
    assert "Only partition 0 has class 0." in said(counts.tolist())
    assert "All 5 classes occur in one partition only." in said((np.eye(5, dtype=int) * 7).tolist())


def test_absent_classes_and_empty_partitions_are_named() -> None:
    assert said([[5, 0, 5], [5, 0, 5]]) == ["No partition has rows of class 1."]
    assert said([[5, 0, 0], [5, 0, 0]]) == ["No partition has rows of classes 1 or 2."]
    assert said([[5, 5], [0, 0], [5, 5], [5, 5]]) == ["Partition 1 has no rows."]
    assert said([[5, 5], [0, 0], [5, 5], [0, 0], [5, 5]]) == ["Partitions 1 and 3 have no rows."]


def test_a_few_partitions_with_half_of_the_rows_are_counted() -> None:
    even = [[1, 1]] * 98
    assert said([*even, [40, 40], [60, 60]]) == ["Half of the rows are in 2 of 100 partitions."]
    assert said([[5, 5]] * 100) == []


def test_partitions_dominated_by_one_class_are_named() -> None:
    assert said([[95, 3, 2], [1, 60, 39], [1, 40, 59]]) == ["95% of the rows of partition 0 are of class 0."]
    assert "All 5 partitions consist almost entirely of one class." in said((np.eye(5, dtype=int) * 7).tolist())


def test_a_class_that_dominates_all_partitions_is_not_unusual() -> None:
    assert said([[95, 5], [94, 6]]) == []


def test_the_last_remark_compares_with_chance() -> None:
    skewed, even = skew.report([[0] * 50, [1] * 50]), skew.report([[0, 1] * 50, [0, 1] * 50])
    assert skewed.remarks[-1] == (
        f"Random splits with these sizes have a total variation of {skewed.iid_total_variation:.3f} on average."
    )
    assert even.remarks[-1].startswith("The labels look IID: random splits with these sizes")


def test_the_data_frame_has_one_row_per_partition() -> None:
    frame = skew.report(skew.tally(THREE, class_names=["a", "b", "c"])).to_frame()
    assert frame.index.name == "Partition ID"
    assert frame["rows"].tolist() == [10, 10, 0]
    assert frame["classes"].tolist() == [2, 2, 0]
    # 2^H(.8, .2), 2^H(.5, .5), and nothing.
    assert frame["effective_classes"].tolist() == pytest.approx([0.8**-0.8 * 0.2**-0.2, 2, 0])
    # The overall distribution is (.4, .25, .35): (.4 + .25 + .15) / 2 and (.4 + .25 + .15) / 2.
    assert frame["total_variation"].tolist() == pytest.approx([0.4, 0.4, 0])
    assert frame["most_frequent"].tolist() == ["a", "b", None]
    assert frame["largest_share"].tolist() == pytest.approx([0.8, 0.5, 0])
    weights = frame["rows"] / frame["rows"].sum()
    assert (weights * frame["total_variation"]).sum() == pytest.approx(skew.total_variation(THREE))


def test_the_json_contains_everything() -> None:
    report = skew.report(skew.tally([["ä", "b"], ["b"]]))
    read = json.loads(report.to_json())
    assert "ä" in report.to_json()
    assert read["measures"] == report.measures
    assert read["classes"] == ["b", "ä"]
    assert read["remarks"] == list(report.remarks)
    assert [row["rows"] for row in read["partitions"]] == [2, 1]
    assert pd.DataFrame(read["partitions"]).set_index("partition")["most_frequent"].tolist() == ["b", "b"]
    assert json.loads(skew.report(THREE).to_json())["partitions"][0]["most_frequent"] == 0


def test_a_long_table_is_shortened_in_print_but_not_in_data() -> None:
    split = DirichletPartitioner(1000, "label", 0.5, min_partition_size=1).assign([row % 10 for row in range(20_000)])
    report = skew.report(split)
    assert "[1000 rows x 6 columns]" in str(report)
    assert "… and 980 more" in report.to_markdown()
    assert len(str(report).splitlines()) < 50
    assert len(report.to_frame()) == len(json.loads(report.to_json())["partitions"]) == 1000


def test_columns_are_aligned_in_a_terminal_even_with_wide_characters() -> None:
    """A Chinese character takes two columns of a terminal."""
    table = str(skew.compare({"犬猫": [[0], [1]], "abcd": [[0], [1]]})).splitlines()
    assert table[1].index("0.500") == table[2].index("0.500") - 2


def test_a_report_is_shown_as_its_text() -> None:
    report = skew.report([[0], [1]])
    assert repr(report) == str(report)


def test_an_assignment_is_reported_by_its_names() -> None:
    named = Assignment.from_partitions({"Bern": [0, 1], "site 9": [2], "17": []}, labels=[0, 1, 1])
    report = skew.report(named)
    assert report.to_frame().index.tolist() == ["Bern", "site 9", "17"]
    assert report.remarks[:2] == ("Partition 17 has no rows.", "site 9 is missing class 0.")
    assert skew.tally(named.to_frame()).names == skew.tally(named).names == named.names


def test_named_partitions_have_their_names_in_every_format() -> None:
    report = skew.report(pd.DataFrame([[5, 0], [5, 5], [0, 0]], index=["Bern", "Geneva", "two\nlines"]))
    assert report.remarks[:2] == ("two lines has no rows.", "Bern is missing class 1.")
    assert report.to_frame().index.tolist() == ["Bern", "Geneva", "two\nlines"]
    assert json.loads(report.to_json())["partitions"][0]["partition"] == "Bern"
    for text in (str(report), report.to_markdown(), report._repr_html_()):
        assert all(name in text for name in ("Bern", "Geneva", "two lines"))


def test_each_measure_is_shown_with_its_extremes() -> None:
    """Sizes 30 and 10: total variation is at most 1 - (3/4)^2 - (1/4)^2 = .375, effective clients at least 1/2."""
    lines = str(skew.report([[0] * 30, [1, 2] * 5])).splitlines()
    assert [line.split()[-2:] for line in lines if line.startswith(("total_v", "missing", "effective_cli"))] == [
        ["0", "0.375"],
        ["0", "0.667"],
        ["1", "0.5"],
    ]


def test_the_markdown_is_two_tables_with_escaped_cells() -> None:
    text = skew.report(skew.tally([["a|b", "c"], ["c"]])).to_markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(skew.MEASURES) + 2 + 2 + 2
    assert {line.replace(r"\|", "").count("|") for line in rows} == {5, 8}
    assert r"| a\|b | 50% |" in text


def test_a_name_of_several_lines_is_shown_in_one() -> None:
    named, plain = (skew.report(skew.tally([["a", "c"], ["c"]], class_names=[name, "c"])) for name in ("b\nb", "b b"))
    assert str(named) == str(plain)
    assert named.to_markdown() == plain.to_markdown()


def test_the_json_contains_column_names_of_any_type() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.to_datetime(["2020-01-01", "2021-01-01"]))
    assert json.loads(skew.report(frame).to_json())["classes"][0].startswith("2020-01-01")


class Cells(HTMLParser):
    """Collects the text of each cell and checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_a_notebook_shows_tables_in_which_names_are_escaped() -> None:
    parser = Cells()
    parser.feed(skew.report(skew.tally([["<b>bold", "c"], ["c"]]))._repr_html_())
    assert parser.open == []
    assert "<b>bold" in parser.cells
    assert "total_variation" in parser.cells


def test_splits_are_compared_side_by_side() -> None:
    splits = {"even": [[0, 1], [0, 1]], "apart": [[0, 0], [1, 1]]}
    comparison = skew.compare(splits)
    assert comparison.to_frame()["label_information"].to_dict() == {"even": 0.0, "apart": 1.0}
    assert json.loads(comparison.to_json())["apart"] == skew.report(splits["apart"]).measures
    # Eight measures are wider than a line, so there are two tables.
    blocks = [[line.split()[0] for line in block.splitlines()] for block in str(comparison).split("\n\n")]
    assert blocks == [["split", "even", "apart"]] * 2
    assert repr(comparison) == str(comparison)
    assert comparison.to_markdown().splitlines()[2].startswith("| even | 0.000 | 0.000 |")
    parser = Cells()
    parser.feed(comparison._repr_html_())
    assert parser.open == []
    assert "even" in parser.cells


def test_splits_in_a_list_are_numbered() -> None:
    assert skew.compare([[[0], [1]], np.array([[3, 4]])]).to_frame().index.tolist() == ["0", "1"]


def test_an_empty_list_and_a_single_split_are_refused() -> None:
    with pytest.raises(ValueError, match="splits must contain at least one split, got none"):
        skew.compare([])
    with pytest.raises(ValueError, match="splits must have distinct names, got 1, 1"):
        skew.compare({1: THREE, "1": THREE})  # type: ignore[dict-item]
    with pytest.raises(
        TypeError, match="splits must be a list or a mapping of splits, got a single ndarray; use report"
    ):
        skew.compare(THREE)
    for wrong in (skew.tally(THREE), IidPartitioner(2), 7, "ab"):
        with pytest.raises(TypeError, match=f"got a single {type(wrong).__name__}; use report"):
            skew.compare(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got a single Assignment; use report"):
        skew.compare(DirichletPartitioner(2, "label", 1.0).assign([0, 1] * 50))  # type: ignore[arg-type]


def test_a_notebook_shows_each_remark_as_an_item_of_a_list() -> None:
    report = skew.report(skew.tally([["<b>", "c"], ["c"]]))
    items = re.findall("<li>(.*?)</li>", report._repr_html_())
    assert list(map(html.unescape, items)) == list(report.remarks)
    assert not any("<b>" in item for item in items)
