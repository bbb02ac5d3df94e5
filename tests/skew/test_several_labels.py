"""With several labels per row, measures, reports and pictures count labels, and say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flskew import Assignment, DirichletPartitioner, IidPartitioner, plots, skew

# Ten rows: three labels, one, or none. Partition 0 has 8 labels and partition 1 has 2.
ROWS = [["a", "b", "c"], ["a", "b"], [], ["a"], ["b", "c"], ["a"], [], ["c"], [], []]


def split() -> Assignment:
    return Assignment.from_partitions({"Bern": [0, 1, 2, 3, 4], "Lyon": [5, 6, 7, 8, 9]}, ROWS)


def test_a_tally_counts_labels():
    counted = skew.tally(split())
    assert counted.counts.tolist() == [[3, 3, 2], [1, 0, 1]]
    assert (counted.sizes.tolist(), counted.unit) == ([8, 2], "label")
    assert split().sizes.tolist() == [5, 5]


def test_measures_are_those_of_the_counts_of_labels():
    for measure in skew.MEASURES.values():
        assert measure(split()) == measure(np.array([[3, 3, 2], [1, 0, 1]]))


def test_a_list_of_the_labels_of_each_partition_may_have_several_per_row():
    lists = skew.tally([ROWS[:5], ROWS[5:]])
    matrices = skew.tally([np.array([[1, 1, 1], [1, 1, 0]]), np.array([[0, 0, 1]])])
    assert (lists.counts.tolist(), lists.classes, lists.unit) == ([[3, 3, 2], [1, 0, 1]], ("a", "b", "c"), "label")
    assert (matrices.counts.tolist(), matrices.unit) == ([[2, 2, 1], [0, 0, 1]], "label")
    with pytest.raises(TypeError, match="one per row in all partitions, or several per row in all; got both"):
        skew.tally([ROWS[:5], ["a", "b"]])


def test_a_list_of_lists_still_contains_the_labels_of_each_partition():
    assert skew.tally([[0, 1, 1], [0]]).unit == "row"


def test_a_report_says_labels():
    report = skew.report(split())
    assert str(report).startswith("2 partitions, 10 labels, 3 classes\n")
    assert "partition labels classes" in str(report)
    assert "rows" not in str(report)
    assert report.to_frame()["labels"].tolist() == [8, 2]
    assert json.loads(report.to_json())["num_labels"] == 10
    assert "| labels |" in report.to_markdown()
    assert "<th>labels</th>" in report._repr_html_()


def test_remarks_say_labels():
    empty = skew.report(Assignment.from_partitions([[0, 1], [2, 6]], ROWS)).remarks
    assert "Partition 1 has no labels." in empty
    lopsided = Assignment.from_partitions([range(30), [30], [31]], [["a", "b"]] * 30 + [["a"], ["b"]])
    assert "Half of the labels are in 1 of 3 partitions." in skew.report(lopsided).remarks


def test_a_report_names_the_cell_that_is_furthest_from_its_target():
    # 4 of 4 rows have both labels, so all of a in Bern and all of b in Lyon is impossible.
    missed = Assignment.from_counts([[4, 0], [0, 4]], [["a", "b"]] * 4)
    assert missed.label_counts.tolist() == [[2, 2], [2, 2]]
    assert missed.target_deviation == 0.5
    assert skew.report(missed).remarks[-1] == (
        "Partition 0 is furthest from what the scheme aimed for: it has 2 labels of class a instead of 4, a deviation "
        "of 50.00% of the class."
    )
    met = Assignment.from_counts([[2, 2], [2, 2]], [["a", "b"]] * 4)
    assert skew.report(met).remarks[-1] == "Every partition has exactly the labels that the scheme aimed for."
    assert not any("aimed" in remark for remark in skew.report(split()).remarks)


@pytest.mark.parametrize("together", [1, 3], ids=["independent", "always three together"])
def test_the_total_variation_by_chance_is_that_of_whole_rows(together: int):
    """Compared with 60 random splits. Labels drawn one by one give 11 %, or 23 % if three come together, too much."""
    rng = np.random.default_rng(0)
    base = rng.random((900, 4)) < 0.2
    matrix = np.repeat(base, together, axis=1).astype(int)
    splits = [IidPartitioner(6, seed=seed).assign(matrix) for seed in range(60)]
    measured = np.mean([skew.total_variation(one) for one in splits])
    assert skew.iid_total_variation(splits[0]) == pytest.approx(measured, rel=0.04)
    assert skew.iid_total_variation(splits[0].label_counts) > (1 + 0.03 * together) * measured


def test_an_iid_split_looks_iid_even_if_labels_depend_on_each_other():
    base = np.random.default_rng(0).random((900, 4)) < 0.2
    iid = IidPartitioner(6).assign(np.repeat(base, 3, axis=1))
    assert any(remark.startswith("The labels look IID") for remark in skew.report(iid).remarks)
    assert any("so the split looks IID" in str(finding) for finding in skew.audit(iid).findings)
    skewed = DirichletPartitioner(6, alpha=0.5).assign(base)
    assert any("so the split is skewed" in str(finding) for finding in skew.audit(skewed).findings)


def test_the_prior_shift_of_whole_rows_is_compared_with_chance():
    base = np.random.default_rng(0).random((900, 4)) < 0.2
    matrix = np.repeat(base, 3, axis=1)
    for seed in range(20):
        iid = IidPartitioner(6, seed=seed).assign(matrix)
        prior = skew.kinds(iid).prior_shift
        assert prior.distance == pytest.approx(skew.total_variation(iid))
        assert prior.chance == pytest.approx(skew.iid_total_variation(iid))
        assert not prior.exceeds_chance
    assert skew.kinds(DirichletPartitioner(6, alpha=1).assign(matrix)).prior_shift.exceeds_chance


def test_alpha_for_finds_an_alpha_for_several_labels():
    rows = [[row % 3, 3 + row % 2] if row % 4 else [] for row in range(400)]
    found = skew.alpha_for(0.2, rows, 4, num_draws=4)
    assert abs(found.mean - 0.2) < 0.02


@pytest.mark.parametrize("kind", ["bars", "sizes"])
def test_pictures_of_sizes_say_labels(kind: str):
    figure = getattr(plots, kind)(Assignment.from_partitions([[0, 1], [2], [7]], ROWS))
    assert figure.axes[0].get_ylabel() == "labels"
    assert "no labels" in figure.axes[0].get_xlabel()


def test_a_heat_map_says_that_its_shares_are_of_labels():
    assert "% of the partition's labels" in plots.heatmap(split()).axes[0].get_xlabel()
    assert "% of the partition's labels" not in plots.heatmap(np.array([[3, 1]])).axes[0].get_xlabel()


def test_splits_of_rows_and_of_labels_are_not_drawn_on_one_scale():
    single = Assignment.from_partitions([[0, 1], [2]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="all be of rows with one label each, or all of rows with several, got both"):
        plots.splits([split(), single])
