"""Figures, tables and comparisons of results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tests.study.made import made_cell, results_of

from flskew import FedAvg
from flskew.assignment import Assignment
from flskew.study import Cell, Results, Study

NAN = float("nan")
METHODS = ["alone", "pooled", "FedAvg", "FedDyn"]
# Two splits, four methods, three seeds.
FIGURES = [
    [[0.5, 0.52, 0.54], [0.9, 0.9, 0.9], [0.7, 0.72, 0.74], [0.71, 0.74, 0.77]],
    [[0.4, 0.41, 0.45], [0.9, 0.9, 0.9], [0.5, 0.78, 0.64], [0.6, 0.62, 0.55]],
]


def two_splits(**settings: object) -> Results:
    return results_of(FIGURES, splits=["iid", "skewed"], methods=METHODS, **settings)


# Figures


def test_figures_of_the_curve_are_its_last_and_best_value_and_its_mean() -> None:
    results = results_of([[[0.6]]], methods=["FedAvg"], curve=lambda last: [0.1, 0.5, 0.7, last])
    assert results.figures("last").tolist() == [[[0.6]]]
    assert results.figures("best").tolist() == [[[0.7]]]
    assert results.figures("area") == pytest.approx(0.6)  # (0.5 + 0.7 + 0.6) / 3, without the initial model


def test_for_a_loss_the_best_round_is_the_lowest_and_the_worst_client_the_highest() -> None:
    cell = made_cell("iid", "FedAvg", 0, [0.1, 0.7, 0.6], own=[0.5, 0.8])  # its loss is 1 - accuracy
    results = Results([cell], ["iid"], ["FedAvg"], [0], metric="loss", lower_is_better=True)
    assert results.figures("best") == pytest.approx(0.3)
    assert results.figures("worst") == pytest.approx(0.5)


def test_figures_of_clients_give_each_client_the_same_weight_and_leave_out_those_without_test_rows() -> None:
    results = Results([made_cell("iid", "FedAvg", 0, [0, 0.6], own=[0.5, NAN, 0.8])], ["iid"], ["FedAvg"], [0])
    assert results.figures("own") == pytest.approx(0.65)
    assert results.figures("worst") == 0.5


def test_unseen_is_the_recall_of_the_classes_that_a_client_never_had() -> None:
    counts = np.array([[4, 0, 0], [4, 4, 4], [0, 9, 0]])
    cell = made_cell(
        "x", "FedAvg", 0, [0, 0.6], own=[0.5] * 3, label_counts=counts, classes=np.arange(3), recall=[[0.9, 0.6, 0.2]]
    )
    # The first misses classes 1 and 2, 0.4 on average, the last 0 and 2, 0.55; the second has all.
    assert Results([cell], ["x"], ["FedAvg"], [0]).figures("unseen") == pytest.approx(0.475)


def test_a_cell_that_has_not_been_run_is_nan() -> None:
    results = results_of([[[0.6, NAN], [0.5, 0.4]]])
    np.testing.assert_array_equal(results.figures(), [[[0.6, NAN], [0.5, 0.4]]])
    assert results.missing == 1


def test_after_a_run_that_ended_early_its_last_model_counts() -> None:
    """Otherwise, a method that breaks down with some seeds would be judged by the others."""
    cell = made_cell("iid", "FedAvg", 0, [0.1, 0.5, 0.3, NAN, NAN], error="round 3: all replies were dropped")
    results = Results([cell], ["iid"], ["FedAvg"], [0])
    assert results.figures("last") == 0.3
    assert results.figures("best") == 0.5
    assert results.figures("area") == pytest.approx(0.35)  # (0.5 + 0.3 + 0.3 + 0.3) / 4


def test_a_metric_that_is_not_a_number_is_not_replaced() -> None:
    results = Results([made_cell("iid", "FedAvg", 0, [0.1, 0.5, NAN])], ["iid"], ["FedAvg"], [0])
    assert np.isnan(results.figures("last")).all()
    assert results.figures("best") == 0.5
    assert "accuracy is not a number in some rounds: FedAvg on 'iid' with seed 0." in results.remarks


# Tables


def test_results_print_as_a_table_of_means_and_intervals_with_the_best_method_marked() -> None:
    # For 0.7, 0.72 and 0.74: t(0.975, 2) * 0.02 / sqrt(3) = 4.303 * 0.01155 = 0.050
    assert str(two_splits().table()).splitlines() == [
        "accuracy on the whole test set after the last round:",
        "mean over 3 seeds ± half of the 95 % interval",
        "",
        "method             iid          skewed",
        "alone    0.520 ± 0.050   0.420 ± 0.066",
        "pooled   0.900 ± 0.000   0.900 ± 0.000",
        "FedAvg   0.720 ± 0.050 * 0.640 ± 0.348",
        "FedDyn * 0.740 ± 0.075   0.590 ± 0.090",
        "",
        "`*` marks the highest mean of a method on each split; `gains` says which",
        "  differences are more than chance.",
    ]


def test_the_frame_of_a_table_contains_the_numbers() -> None:
    row = two_splits().table().frame.loc[("iid", "FedDyn")]
    low, high = stats.t.interval(0.95, 2, loc=0.74, scale=stats.sem([0.71, 0.74, 0.77]))
    assert row.tolist() == pytest.approx([0.74, low, high, 3])


def test_a_bootstrap_interval_shows_both_ends() -> None:
    table = two_splits(interval="bootstrap", confidence=0.9).table()
    assert "0.720 [0.707, 0.733]" in str(table)  # the means of 0.70, 0.70 and 0.72, and of 0.72, 0.74 and 0.74
    assert "mean over 3 seeds [90 % bootstrap interval]" in table.title


def test_one_seed_has_no_interval_and_the_remarks_say_that_it_may_be_chance() -> None:
    results = results_of([[[0.61], [0.5]]])
    assert results.table().title.endswith("mean over 1 seed")
    assert results.table().texts["iid"].tolist() == ["* 0.610", "0.500"]
    assert "With 1 seed, a difference may well be chance; use at least three, ideally five." in str(results)


def test_a_mean_over_fewer_seeds_says_so_and_is_never_marked_as_the_best() -> None:
    table = results_of([[[0.9, 0.9, NAN], [0.5, 0.5, 0.5], [0.4, 0.4, 0.4]]], methods="ABC").table()
    assert table.texts["iid"].tolist() == ["0.900 ± 0.000 (2 seeds)", "* 0.500 ± 0.000", "0.400 ± 0.000"]


def test_for_a_loss_the_lowest_mean_is_marked() -> None:
    table = two_splits(metric="loss", lower_is_better=True).table()
    assert table.texts["iid"].str.startswith("*").tolist() == [False, False, False, True]
    assert "the lowest mean" in table.remarks[0]


def test_other_scales_get_other_decimals() -> None:
    assert results_of([[[1234.5, 1236.5]]], methods=["A"]).table().texts["iid"].tolist() == ["1236 ± 13"]


def test_tables_display_in_notebooks_with_names_escaped_and_in_markdown() -> None:
    table = results_of([[[0.6, 0.7], [0.5, 0.6]]], splits=["<b>|x"], methods=["A", "B"]).table()
    assert "&lt;b&gt;|x" in table._repr_html_()
    assert "<b>" not in table._repr_html_()
    gains = results_of([[[0.6, 0.7], [0.5, 0.6]]], methods=["<i>", "B"]).gains(over="<i>")
    assert "Gain over &lt;i&gt;" in gains._repr_html_()
    assert "| A | * 0.650 ± 0.635 |" in table.to_markdown().splitlines()  # 12.706 * 0.05
    assert "| method | <b>\\|x |" in table.to_markdown()


def test_results_show_their_remarks_wherever_they_are_shown() -> None:
    results = results_of([[[0.6, NAN], [0.5, 0.6]]])
    remark = "Not run yet: 1 of 4 cells."
    assert all(remark in shown for shown in (str(results), repr(results), results._repr_html_(), results.to_markdown()))


# Comparisons


def test_gains_are_paired_t_tests_corrected_by_holm() -> None:
    gains = two_splits().gains(over="pooled").frame
    assert gains.index.tolist() == [
        (split, method) for split in ("iid", "skewed", "all splits") for method in ("FedAvg", "FedDyn")
    ]
    p = [
        stats.ttest_rel(figures[method], figures[1]).pvalue
        for figures in [*np.array(FIGURES), np.mean(FIGURES, axis=0)]
        for method in (2, 3)
    ]
    assert gains["p"].to_numpy() == pytest.approx(p)
    # Holm by hand: the smallest of six times 6, the next times 5, ..., none smaller than the one before.
    adjusted, largest = [0.0] * 6, 0.0
    for rank, place in enumerate(np.argsort(p)):
        largest = max(largest, (6 - rank) * p[place])
        adjusted[place] = min(largest, 1)
    assert gains["adjusted"].to_numpy() == pytest.approx(adjusted)
    expected = ["worse" if value < 0.05 else "no evidence of a difference" for value in adjusted]
    assert gains["verdict"].tolist() == expected
    assert len(set(expected)) == 2


def test_a_gain_is_the_mean_of_the_differences_with_their_interval() -> None:
    row = two_splits().gains("FedDyn", over="FedAvg").frame.loc[("skewed", "FedDyn")]
    differences = [0.1, -0.16, -0.09]
    low, high = stats.t.interval(0.95, 2, loc=-0.05, scale=stats.sem(differences))
    assert row[["gain", "low", "high", "seeds"]].tolist() == pytest.approx([-0.05, low, high, 3])


def test_the_gain_over_all_splits_is_the_mean_over_the_splits_of_each_seed() -> None:
    row = two_splits().gains().frame.loc[("all splits", "FedDyn")]
    differences = [(0.01 + 0.1) / 2, (0.02 - 0.16) / 2, (0.03 - 0.09) / 2]
    assert row["gain"] == pytest.approx(np.mean(differences))
    assert row["p"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_gains_print_what_was_found_in_words() -> None:
    figures = [[[0.5, 0.52, 0.54, 0.5], [0.9, 0.93, 0.94, 0.91], [0.5, 0.5, 0.53, 0.55]]]
    lines = str(results_of(figures, methods=["FedAvg", "Better", "Same"]).gains()).splitlines()
    assert lines == [
        "Gain over FedAvg in accuracy on the whole test set after the last round:",
        "mean over 4 seeds ± half of the 95 % interval",
        "",
        "split method           gain adjusted p verdict",
        "iid   Better +0.405 ± 0.009     <0.001 better",
        "iid   Same   +0.005 ± 0.049      0.769 no evidence of a difference",
        "",
        "Verdicts are corrected for 2 comparisons (Holm's procedure); intervals are not.",
    ]


def test_a_lower_loss_is_a_gain() -> None:
    gains = two_splits(metric="loss", lower_is_better=True).gains(over="alone")
    np.testing.assert_allclose(gains.frame["gain"], two_splits().gains(over="alone").frame["gain"])
    assert "A gain is how much lower the loss is." in gains.remarks


def test_of_a_loss_unseen_classes_still_need_a_high_recall() -> None:
    cells = [made_cell("x", name, 0, [0, 0.6], label_counts=np.array([[3, 0]] * 2)) for name in ("FedAvg", "FedDyn")]
    cells[1].recall[:] = 0.8  # of 0.5
    results = Results(cells, ["x"], ["FedAvg", "FedDyn"], [0], metric="loss", lower_is_better=True)
    assert results.gains(what="unseen").frame["gain"].tolist() == pytest.approx([0.3])


def test_identical_methods_differ_by_nothing_without_a_p_value() -> None:
    table = results_of([[[0.6, 0.7, 0.65], [0.6, 0.7, 0.65]]]).gains()
    assert table.frame.iloc[0]["gain"] == 0
    assert np.isnan(table.frame.iloc[0]["p"])
    assert "no evidence of a difference (identical)" in str(table)


def test_one_seed_is_no_evidence() -> None:
    table = results_of([[[0.6], [0.9]]]).gains()
    assert table.frame["verdict"].tolist() == ["no evidence of a difference"]
    assert "+0.300" in str(table)
    assert "no evidence of a difference (one seed)" in str(table)


def test_seeds_that_one_of_the_methods_has_not_been_run_with_do_not_count() -> None:
    row = results_of([[[0.6, 0.7, 0.8, NAN], [NAN, 0.9, 0.9, 0.9]]]).gains().frame.iloc[0]
    assert (row["gain"], row["seeds"]) == (pytest.approx(0.15), 2)


def test_what_has_not_been_run_has_no_verdict() -> None:
    table = results_of([[[0.6, 0.7], [NAN, NAN]]]).gains()
    assert (table.frame.iloc[0]["verdict"], table.frame.iloc[0]["note"]) == ("", "not run")


def test_a_split_where_the_figure_is_undefined_does_not_count_over_all_splits() -> None:
    """Clients with all classes have no unseen ones."""
    cells = [
        made_cell(
            split,
            method,
            seed,
            [0, 0.6],
            label_counts=np.array([counts] * 2),
            recall=np.array([[0.9, 0.1 * seed + 0.3 * (method == "FedDyn")]]),
        )
        for split, counts in (("iid", [5, 5]), ("skewed", [5, 0]))
        for method in ("FedAvg", "FedDyn")
        for seed in range(3)
    ]
    frame = Results(cells, ["iid", "skewed"], ["FedAvg", "FedDyn"], range(3)).gains(what="unseen").frame
    assert frame["note"].tolist() == ["undefined", "", ""]
    np.testing.assert_allclose(frame["gain"], [NAN, 0.3, 0.3])


def test_methods_are_compared_on_the_clients_that_alone_trained() -> None:
    """The worst of two clients is better than the worst of three, even if no method is."""
    own = {"alone": [0.5, NAN, 0.6], "FedAvg": [0.5, 0.1, 0.6]}
    cells = [
        made_cell("x", name, seed, [0, 0.6], own=values, trained=np.array([0, 2] if name == "alone" else [-1]))
        for name, values in own.items()
        for seed in range(2)
    ]
    results = Results(cells, ["x"], ["alone", "FedAvg"], range(2))
    table = results.gains(over="alone", what="worst")
    assert table.frame["gain"].tolist() == [0]
    assert "Only the clients that 'alone' trained are compared." in table.remarks
    assert results.figures("worst")[0, :, 0].tolist() == [0.5, 0.1]
    assert "'alone' trained 2 of the 3 clients of 'x'" in results.table("worst").remarks[0]
    assert not results.table("last").remarks


def test_gains_of_clients_say_that_seeds_with_runs_that_ended_early_do_not_count() -> None:
    cells = [made_cell("x", name, seed, [0, 0.6]) for name in ("FedAvg", "FedDyn") for seed in range(3)]
    cells[-1] = made_cell("x", "FedDyn", 2, [0, NAN], own=[NAN, NAN], error="round 1: diverged")
    results = Results(cells, ["x"], ["FedAvg", "FedDyn"], range(3))
    assert results.gains(what="own").frame["seeds"].tolist() == [2]
    assert "Runs that ended early have no figures of clients" in str(results.gains(what="own"))
    assert results.gains().frame["seeds"].tolist() == [3]
    assert "ended early" not in str(results.gains())


def test_a_split_where_all_runs_of_a_method_ended_early_is_not_left_out_over_all_splits() -> None:
    cells = [
        made_cell(split, name, seed, [0, 0.6]) for split in "AB" for name in ("FedAvg", "FedDyn") for seed in range(2)
    ]
    for place in (-2, -1):
        cells[place] = made_cell("B", "FedDyn", cells[place].seed, [0, NAN], own=[NAN, NAN], error="diverged")
    frame = Results(cells, "AB", ["FedAvg", "FedDyn"], range(2)).gains(what="own").frame
    assert frame["note"].tolist() == ["identical", "ended early", "ended early"]


def test_a_metric_that_is_never_a_number_gives_tables_without_figures() -> None:
    results = results_of([[[0.5], [0.6]]], curve=lambda last: [NAN, NAN])
    assert "FedDyn   -" in str(results).splitlines()
    assert results.gains().frame["note"].tolist() == ["undefined"]


# Clients, classes and targets


def hospitals(is_drawn: bool = False) -> Results:
    own = {"alone": [[0.5, 0.9], [0.6, 0.9]], "FedAvg": [[0.7, 0.8], [0.9, 0.7]]}
    cells = [
        made_cell(
            "hospitals",
            method,
            seed,
            [0, 0.7],
            own=values,
            names=() if is_drawn else ("Bern", "Lyon"),
            recall=np.array([[0.9, 0.1], [0.7, 0.3]]) if method == "alone" else np.array([[0.8, 0.5 + 0.2 * seed]]),
            trained=np.array([0, 1]) if method == "alone" else np.array([-1]),
            fingerprints=(f"train {seed * is_drawn}", f"test {seed}"),
            label_counts=np.array([[30, 10], [10, 30 + 5 * seed * is_drawn]]),
        )
        for method, by_seed in own.items()
        for seed, values in enumerate(by_seed)
    ]
    return Results(cells, ["hospitals"], ["alone", "FedAvg"], range(2))


def test_clients_that_are_the_same_with_each_seed_have_a_row_each_by_name() -> None:
    frame = hospitals().clients("hospitals")
    assert frame.index.tolist() == ["Bern", "Lyon"]
    assert frame["alone", "mean"].tolist() == pytest.approx([0.55, 0.9])
    assert frame["FedAvg", "mean"].tolist() == pytest.approx([0.8, 0.75])
    assert frame["FedAvg", "gain"].tolist() == pytest.approx([0.25, -0.15])
    low, high = stats.t.interval(0.95, 1, loc=0.25, scale=stats.sem([0.2, 0.3]))
    assert frame.loc["Bern", "FedAvg"][["low", "high"]].tolist() == pytest.approx([low, high])
    assert "clients of 'hospitals' do better alone than in the federation: 1 of 2 with FedAvg." in " ".join(
        hospitals().remarks
    )


def test_a_client_gains_from_a_lower_loss() -> None:
    frame = hospitals().using(metric="loss", lower_is_better=True).clients("hospitals")
    assert frame["FedAvg", "gain"].tolist() == pytest.approx([0.25, -0.15])


def test_clients_that_are_drawn_anew_have_a_row_for_each_seed() -> None:
    frame = hospitals(is_drawn=True).clients("hospitals")
    assert frame.index.tolist() == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert frame["FedAvg", "gain"].tolist() == pytest.approx([0.2, -0.1, 0.3, -0.2])
    assert ("FedAvg", "low") not in frame
    assert "(drawn anew with each seed) do better alone than in the federation: 2 of 4 with FedAvg." in " ".join(
        hospitals(is_drawn=True).remarks
    )


def test_other_rows_of_the_same_classes_make_no_other_client() -> None:
    results = hospitals(is_drawn=True)
    for cell in results.cells:
        cell.label_counts[:] = [[30, 0], [10, 30 + cell.seed]]  # rounded up with one seed
    assert results.clients("hospitals").index.tolist() == [0, 1]
    results.cells[0].label_counts[0, 1] = 1  # a class that the client lacks with the other seed
    assert len(results.clients("hospitals")) == 4


def test_clients_with_names_are_the_same_even_if_each_seed_holds_out_other_rows() -> None:
    drawn = hospitals(is_drawn=True)
    named = Results(
        [replace(cell, names=("Bern", "Lyon")) for cell in drawn.cells], ["hospitals"], drawn.methods, [0, 1]
    )
    assert named.clients("hospitals").index.tolist() == ["Bern", "Lyon"]
    others = [replace(cell, names=("Bern", "Graz") if cell.seed else ("Bern", "Lyon")) for cell in drawn.cells]
    assert len(Results(others, ["hospitals"], drawn.methods, [0, 1]).clients("hospitals")) == 4


def test_on_the_whole_test_set_clients_differ_alone_and_get_the_same_from_a_method() -> None:
    # Of three clients, "alone" trained the first and the last.
    alone = [
        made_cell("sites", "alone", seed, [0, 0.5], own=[0.9] * 3, last=last, trained=np.array([0, 2]))
        for seed, last in enumerate([{"accuracy": np.array([0.5, 0.6])}, {"accuracy": np.array([0.7, 0.6])}])
    ]
    federated = [made_cell("sites", "FedAvg", seed, [0, 0.8 + 0.1 * seed], own=[0.9] * 3) for seed in range(2)]
    frame = Results([*alone, *federated], ["sites"], ["alone", "FedAvg"], range(2)).clients("sites", "last")
    assert frame["alone", "mean"].tolist() == pytest.approx([0.6, NAN, 0.6], nan_ok=True)
    assert frame["FedAvg", "mean"].tolist() == pytest.approx([0.85] * 3)
    assert frame["FedAvg", "gain"].tolist() == pytest.approx([0.25, NAN, 0.25], nan_ok=True)  # 0.3, 0.2; 0.2, 0.3


def test_recall_is_the_mean_over_seeds_and_for_alone_over_its_models() -> None:
    frame = hospitals().recall("hospitals")
    assert frame.columns.tolist() == [0, 1]
    assert frame.loc["alone"].tolist() == pytest.approx([0.8, 0.2])
    assert frame.loc["FedAvg"].tolist() == pytest.approx([0.8, 0.6])


def targets(*, lower_is_better: bool = False) -> Results:
    curves = {
        ("FedAvg", 0): [0.1, 0.5, 0.8, 0.7],
        ("FedAvg", 1): [0.1, 0.5, 0.7, 0.8],
        ("FedDyn", 0): [0.1, 0.9, 0.9, 0.9],
        ("FedDyn", 1): [0.1, 0.2, 0.3, 0.4],
        ("alone", 0): [0.1, 0.9, 0.9, 0.9],
    }
    cells = [made_cell("iid", method, seed, curve) for (method, seed), curve in curves.items()]
    metric = "loss" if lower_is_better else "accuracy"
    return Results(
        cells, ["iid"], ["alone", "FedAvg", "FedDyn"], range(2), metric=metric, lower_is_better=lower_is_better
    )


@pytest.mark.parametrize(("target", "lower_is_better"), [(0.8, False), (0.2, True)], ids=["accuracy", "loss"])
def test_rounds_and_bytes_to_a_target_are_means_of_the_seeds_that_reached_it(
    target: float, lower_is_better: bool
) -> None:
    table = targets(lower_is_better=lower_is_better).to_target(target + 1e-9 * (2 * lower_is_better - 1))
    assert table.frame.loc[("iid", "FedAvg")].tolist() == [2, 2, 2.5, 2500]  # rounds 2 and 3
    assert table.frame.loc[("iid", "FedDyn")].tolist() == [1, 2, 1, 1000]
    assert "iid   FedDyn    1.0 1.0 kB 1 of 2 seeds" in str(table).splitlines()
    assert "where some did not, they are too optimistic" in " ".join(table.remarks)


def test_a_target_that_no_method_reached_is_said() -> None:
    table = targets().to_target(0.99)
    assert "No method reached 0.99 on 'iid' with any seed." in str(table)
    assert np.isnan(table.frame["rounds"]).all()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [("high", TypeError, "value must be a number, got 'high'"), (NAN, ValueError, "value must be finite, got nan")],
)
def test_a_target_must_be_a_finite_number(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        targets().to_target(value)  # type: ignore[arg-type]


def test_a_frame_has_one_row_per_cell_with_all_figures() -> None:
    frame = targets().to_frame()
    assert len(frame) == 5
    row = frame[(frame["method"] == "FedAvg") & (frame["seed"] == 0)].iloc[0]
    assert row[["last", "best", "own", "worst"]].tolist() == [0.7, 0.8, 0.7, 0.7]
    assert row[["rounds", "bytes", "dropped", "seconds", "error"]].tolist() == [3, 3000, 0, 0.5, ""]
    assert row["fingerprint"] == "train"


# Remarks


def test_nothing_is_remarked_on_where_there_is_nothing_although_pooled_is_below_alone() -> None:
    figures = np.array(FIGURES)
    figures[:, 1] = 0.3
    assert results_of(figures, splits=["iid", "skewed"], methods=METHODS).remarks == ()


def test_remarks_name_runs_that_ended_early_and_dropped_replies() -> None:
    cells = [
        made_cell("iid", "A", 0, [0.1, 0.5, NAN], own=[NAN, NAN], error="round 2: the loss is not finite"),
        made_cell("iid", "A", 1, [0.1, 0.5, 0.6], num_dropped=np.array([0, 2, 3])),
        made_cell("iid", "A", 2, [0.1, 0.5, 0.6]),
    ]
    assert Results(cells, ["iid"], ["A"], range(3)).remarks == (
        "A on 'iid' ended early with 1 of 3 seeds (seed 0: round 2: the loss is not finite). On the whole test set, "
        "its last model counts; figures of clients are those of the other seeds, so they are too optimistic.",
        "Replies were dropped: 3 of A on 'iid'.",
    )


def test_a_remark_asks_for_the_direction_if_the_metric_gets_worse_while_pooled_trains() -> None:
    figures = np.full((1, 4, 3), 0.9)
    results = results_of(figures, methods=METHODS, curve=lambda last: [0.1, last])
    asked = "loss falls while 'pooled' trains, on every split with every seed. If that is good, use lower_is_better="
    assert asked not in " ".join(results.remarks)
    assert f"{asked}True." in results.using(metric="loss").remarks
    assert not any(asked in remark for remark in results.using(metric="loss", lower_is_better=True).remarks)
    assert "accuracy rises while 'pooled' trains" in results.using(lower_is_better=True).remarks[0]


def test_a_remark_names_methods_whose_best_round_is_far_from_the_last() -> None:
    steady = results_of([[[0.6, 0.6, 0.6]]], methods=["A"], curve=lambda last: [0.1, last + 0.02, last])
    assert not steady.remarks
    falling = results_of([[[0.6, 0.6, 0.6]]], methods=["A"], curve=lambda last: [0.1, last + 0.2, last])
    assert "The best round is far from the last: A on 'iid' by 0.2." in falling.remarks[0]


def test_a_remark_says_which_clients_have_no_test_rows() -> None:
    cells = [made_cell("x", "A", seed, [0, 0.6], own=[0.6, NAN, 0.6]) for seed in range(3)]
    (remark,) = Results(cells, ["x"], ["A"], range(3)).remarks
    assert remark == (
        "On 'x', 1 of 3 clients have no accuracy on their own test rows, and do not count in 'own' and 'worst'."
    )


# Arguments


def test_the_same_results_can_be_shown_with_other_settings() -> None:
    results = two_splits()
    changed = results.using(metric="loss", lower_is_better=True, confidence=0.9)
    assert (changed.metric, changed.lower_is_better, changed.interval, changed.confidence) == ("loss", True, "t", 0.9)
    assert changed.using(interval="bootstrap").metric == "loss"
    assert changed.cells == results.cells


def test_a_lower_confidence_gives_shorter_intervals_and_more_verdicts() -> None:
    results = results_of([[[0.6, 0.6, 0.6], [0.63, 0.62, 0.66]]])  # p is 0.093
    assert results.gains().frame["verdict"].tolist() == ["no evidence of a difference"]
    bold = results.using(confidence=0.9).gains()
    assert bold.frame["verdict"].tolist() == ["better"]
    assert bold.frame.iloc[0]["low"] > 0 > results.gains().frame.iloc[0]["low"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda results: results.table("median"), "what must be one of 'last', 'best', .* got 'median'"),
        (lambda results: results.gains("FedProx"), "method must be one of 'alone', .* got 'FedProx'"),
        (lambda results: results.gains(over="fedavg"), "over must be one of 'alone', .* got 'fedavg'"),
        (
            lambda results: results.gains("FedAvg"),
            "nothing to compare with over='FedAvg'; .* over='alone', among 'alone'",
        ),
        (lambda results: results.clients("IID"), "split must be one of 'iid', 'skewed', got 'IID'"),
        (lambda results: results.clients("iid", "best"), "what must be one of 'own', 'last', got 'best'"),
        (lambda results: results.using(metric="auc"), "metric='auc' was not measured; .* 'accuracy', 'loss'"),
        (lambda results: results.using(interval="z"), "interval must be one of 't', 'bootstrap', got 'z'"),
        (lambda results: results.using(confidence=95), "confidence must be below 1, got 95; e.g. 0.95"),
    ],
    ids=["what", "method", "over", "itself", "split", "figure of clients", "metric", "interval", "confidence"],
)
def test_an_unknown_name_lists_the_known_ones(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(two_splits())  # type: ignore[operator]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([made_cell("other", "A", 0, [0, 1])], "belongs to another study: splits are 'iid', methods 'A', 'B'"),
        ([made_cell("iid", "A", 0, [0, 1])] * 2, "two of the same split, method and seed"),
        (
            [made_cell("iid", "A", 0, [0, 1]), made_cell("iid", "B", 0, [0, 1], fingerprints=("x", "y"))],
            "has other rows in its clients than other cells",
        ),
    ],
    ids=["unknown", "twice", "other rows"],
)
def test_cells_that_do_not_belong_together_are_refused(cells: list[Cell], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Results(cells, ["iid"], ["A", "B"], [0])


# With a study


class Site:
    def fit(self, parameters: list[object], config: object) -> tuple[list[object], int, dict[str, float]]:
        return parameters, 1, {}


class Task:
    labels, test_labels = np.array([0, 1, 0, 1]), np.array([0, 1])

    def initial(self, seed: int) -> list[np.ndarray]:
        return [np.zeros(1)]

    def client(self, rows: object) -> Site:
        return Site()

    def evaluate(self, parameters: object, rows: object) -> dict[str, float]:
        return {"accuracy": 0.5}


def test_clients_of_a_study_have_the_names_of_its_sites(tmp_path: Path) -> None:
    sites = Assignment.from_partitions({"Bern": [0, 1], "Lyon": [2, 3]}, [0, 1, 0, 1])
    test = Assignment.from_partitions({"Bern": [0], "Lyon": [1]}, [0, 1])
    study = Study(Task(), {"sites": (sites, test)}, {"FedAvg": FedAvg()}, seeds=range(2), num_rounds=1)
    for results in (study.run(tmp_path), study.results(tmp_path)):
        assert results.clients("sites").index.tolist() == ["Bern", "Lyon"]
    assert results.gains(over="alone").frame["note"].tolist() == ["identical"]


class Counting:
    def __init__(self, number: int) -> None:
        self.number = number

    def fit(self, parameters: object, config: object) -> tuple[list[np.ndarray], int, dict[str, float]]:
        return [np.array([float(self.number)])], 1, {}


class Counts(Task):
    """A task whose model is the number of rows that a site has, scored by a metric that one class leaves undefined."""

    labels, test_labels = np.array([0, 1, 0, 1, 1]), np.array([0, 1])

    def client(self, rows: np.ndarray) -> Counting:  # type: ignore[override]
        return Counting(len(rows))

    def evaluate(self, parameters: list[np.ndarray], rows: np.ndarray) -> dict[str, float]:  # type: ignore[override]
        if len(set(self.test_labels[rows])) < 2:
            raise ValueError("only one class")
        return {"auc": parameters[0][0] / 10}


def test_a_cell_has_the_last_score_of_each_model_and_needs_no_metric_of_one_class(tmp_path: Path) -> None:
    sites = Assignment.from_partitions({"Bern": [0, 1], "Lyon": [2, 3, 4]}, [0, 1, 0, 1, 1])
    test = Assignment.from_partitions({"Bern": [0, 1], "Lyon": []}, [0, 1])
    study = Study(Counts(), {"sites": (sites, test)}, {"FedAvg": FedAvg()}, [0], num_rounds=1, metric="auc")
    alone, pooled, federated = study.run(tmp_path).cells
    assert alone.last["auc"].tolist() == [0.2, 0.3]
    assert pooled.last["auc"].tolist() == [0.5]
    assert federated.last["auc"].tolist() == [0.25]
    assert np.isnan(alone.recall).all()
