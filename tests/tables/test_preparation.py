"""The preparation equals scikit-learn's transformers fitted on the pooled rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler
from tests.tables.test_statistics import SEEDS, collect, random_sites

from flskew.client.sklearn import get_parameters
from flskew.tables.sklearn import TablePreparation

NUMERIC, CATEGORICAL = ["float", "int", "bool", "nullable", "constant"], ["text", "size"]
QUARTILES = [0.25, 0.5, 0.75]


def numbers(frame: pd.DataFrame) -> np.ndarray:
    return np.column_stack([frame[name].to_numpy(float, na_value=np.nan) for name in NUMERIC])


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[CATEGORICAL].astype(object).fillna("missing").apply(lambda column: column.str.strip())


@SEEDS
@pytest.mark.parametrize("impute", ["mean", "median"])
@pytest.mark.parametrize("numeric", ["standard", "robust"])
def test_it_equals_scikit_learn_on_the_pooled_rows(seed: int, numeric: str, impute: str) -> None:
    sites = random_sites(seed)
    statistics = collect(sites, quantiles=QUARTILES).select(*NUMERIC, *CATEGORICAL)
    pooled = pd.concat(sites)
    scaler = StandardScaler() if numeric == "standard" else RobustScaler()
    scaled = make_pipeline(scaler, SimpleImputer(strategy=impute)).fit_transform(numbers(pooled))
    known = [sorted(set(texts(pooled)[name]) - {"missing"}) for name in CATEGORICAL]
    encoded = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False).fit_transform(texts(pooled))
    preparation = TablePreparation(statistics, numeric=numeric, impute=impute)
    expected = np.split(np.hstack([scaled, encoded]), np.cumsum([len(site) for site in sites])[:-1])
    for site, rows in zip(sites, expected, strict=True):
        np.testing.assert_allclose(preparation.transform(site), rows, atol=2e-7)  # 1e8 has steps of 1.5e-8


def test_the_indicator_marks_missing_values_of_columns_that_miss_some_anywhere() -> None:
    sites = random_sites(1)
    preparation = TablePreparation(collect(sites), indicator=True)
    names = preparation.get_feature_names_out().tolist()
    assert [name for name in names if name.startswith("missing")] == [
        "missing_float",
        "missing_nullable",
        "missing_text",
    ]
    rows = pd.DataFrame(preparation.transform(sites[2]), columns=names)
    assert rows["missing_float"].tolist() == sites[2]["float"].isna().astype(float).tolist()
    assert rows["missing_text"].tolist() == sites[2]["text"].isna().astype(float).tolist()


def test_an_unknown_category_is_all_zeros_and_rows_stay_unchanged() -> None:
    site = random_sites(0)[3].assign(text="new")
    before = site.copy(deep=True)
    preparation = TablePreparation(collect(random_sites(0)).select("text"))
    assert not preparation.transform(site).any()
    pd.testing.assert_frame_equal(site, before)


def test_it_is_a_scikit_learn_transformer() -> None:
    sites = random_sites(0)
    preparation = TablePreparation(collect(sites))
    rows = preparation.transform(sites[3])
    for copy in (clone(preparation), pickle.loads(pickle.dumps(preparation))):
        np.testing.assert_array_equal(copy.fit_transform(sites[3]), rows)
    frame = clone(preparation).set_output(transform="pandas").fit_transform(sites[3])
    assert frame.columns.tolist() == preparation.get_feature_names_out().tolist()
    assert frame.index.equals(sites[3].index)
    for model in (LogisticRegression(), SGDRegressor(random_state=0)):
        pipeline = make_pipeline(preparation, model).fit(sites[3], np.arange(len(rows)) % 2)
        assert pipeline.predict(sites[2]).shape == (len(sites[2]),)
        assert get_parameters(pipeline[-1])[0].shape[-1] == rows.shape[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param({"numeric": "scaled"}, "numeric must be one of", id="numeric"),
        pytest.param({"impute": "mode"}, "impute must be one of", id="impute"),
        pytest.param({"numeric": "robust"}, "has no quantile 0.75", id="no-quantiles"),
        pytest.param({"impute": "median"}, "has no quantile 0.5", id="no-median"),
    ],
)
def test_impossible_arguments_are_refused_by_fit(arguments, reason: str) -> None:
    sites = random_sites(0)
    with pytest.raises(ValueError, match=reason):
        TablePreparation(collect(sites), **arguments).fit(sites[0])


def test_two_features_of_the_same_name_are_refused() -> None:
    frame = pd.DataFrame({"a": ["b_c"] * 2, "a_b": ["c"] * 2})
    with pytest.raises(ValueError, match="two features would be called 'a_b_c'"):
        TablePreparation(collect([frame])).fit(frame)


def test_rows_with_other_columns_are_refused() -> None:
    sites = random_sites(0)
    preparation = TablePreparation(collect(sites))
    with pytest.raises(ValueError, match="lack column 'int'"):
        preparation.transform(sites[0].drop(columns="int"))
    with pytest.raises(ValueError, match="column 'int' is categorical, but numeric"):
        preparation.fit(sites[0].assign(int="3"))
    with pytest.raises(TypeError, match="pandas DataFrame"):
        preparation.transform(np.zeros((2, 7)))
    empty = collect([site.assign(float=np.nan) for site in sites])
    with pytest.raises(ValueError, match=r"column 'float' has no values .* statistics.select"):
        TablePreparation(empty).fit(sites[0])
