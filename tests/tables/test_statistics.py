"""Statistics of several sites equal those of the pooled rows."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from flwr.app import ConfigRecord, Context, RecordDict

from flskew import LocalGrid, client_app, partition_id, tables
from flskew.tables import TableError, TableStatistics


class Site:
    """A site of a federation whose rows are given."""

    def __init__(self, frame: pd.DataFrame, **options: object) -> None:
        self.frame, self.options = frame, options

    def fit(self, parameters, config):
        return parameters, len(self.frame), {}

    def query(self, content: RecordDict) -> RecordDict:
        return tables.answer(self.frame, content, **self.options)


def grid_of(frames, **options) -> LocalGrid:
    return LocalGrid(client_app(lambda context: Site(frames[partition_id(context)], **options)), len(frames))


def collect(frames, *, quantiles=(), columns=None, **options) -> TableStatistics:
    options = {"min_count": 1, "allow_quantiles": True} | options
    return tables.collect(grid_of(frames, **options), columns, quantiles=quantiles)


def random_sites(seed: int) -> list[pd.DataFrame]:
    """Four sites: one empty, one where a column is all missing, one that lacks a category."""
    rng = np.random.default_rng(seed)
    n = 80
    frame = pd.DataFrame(
        {
            "float": np.where(rng.random(n) < 0.2, np.nan, rng.normal(1e8, 1, n)),
            "int": rng.integers(-5, 5, n),
            "bool": rng.random(n) < 0.3,
            "nullable": pd.array(np.where(rng.random(n) < 0.2, None, rng.integers(0, 9, n)), dtype="Int64"),
            "text": np.where(rng.random(n) < 0.1, None, rng.choice([" a", "b ", "c"], n)),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n), ["S", "M", "L"], ordered=True),
            "constant": 3.5,
        }
    )
    cuts = np.sort(rng.choice(np.arange(5, n - 5), 2, replace=False))
    sites = [frame.iloc[: cuts[0]].copy(), frame.iloc[:0], frame.iloc[cuts[0] : cuts[1]].copy(), frame.iloc[cuts[1] :]]
    sites[0]["float"] = np.nan
    sites[2] = sites[2][sites[2]["text"] != "c"]
    return sites


SEEDS = pytest.mark.parametrize("seed", range(5))


@SEEDS
def test_the_statistics_equal_those_of_the_pooled_rows(seed: int) -> None:
    sites = random_sites(seed)
    statistics = collect(sites)
    pooled = pd.concat(sites)
    assert statistics.num_rows == len(pooled)
    for name in ("float", "int", "bool", "nullable", "constant"):
        values = pooled[name].dropna().to_numpy(float)
        column = statistics[name]
        assert (column.count, column.missing) == (len(values), len(pooled) - len(values))
        assert column.mean == pytest.approx(values.mean(), rel=1e-15)
        exact = [Fraction(value) for value in values]
        mean = sum(exact) / len(exact)
        variance = float(sum((value - mean) ** 2 for value in exact) / len(exact))
        assert column.variance == pytest.approx(variance, rel=1e-8)  # for "float": condition 1e8, times 1e-16
    counts = pooled["text"].dropna().str.strip().value_counts().to_dict()
    assert dict(statistics["text"].categories) == counts
    assert dict(statistics["size"].categories) == {k: v for k, v in pooled["size"].value_counts().items() if v}


@SEEDS
def test_quantiles_equal_numpys_of_the_pooled_rows(seed: int) -> None:
    sites = random_sites(seed)
    probabilities = [0, 0.1, 0.25, 0.5, 0.75, 1]
    statistics = collect(sites, quantiles=probabilities)
    pooled = pd.concat(sites)
    for name in ("float", "int", "nullable", "constant"):
        expected = np.nanquantile(pooled[name].to_numpy(float, na_value=np.nan), probabilities)
        np.testing.assert_allclose([value for _, value in statistics[name].quantiles], expected, rtol=1e-15)


def test_quantiles_of_extreme_numbers_are_exact_in_at_most_eight_queries() -> None:
    queries = []

    class Counts(Site):
        def query(self, content):
            queries.append(content)
            return super().query(content)

    values = [-1e139, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, math.pi, 1e139]
    frame = pd.DataFrame({"x": values})
    app = client_app(lambda context: Counts(frame, min_count=1, allow_quantiles=True))
    probabilities = [i / 8 for i in range(9)]
    column = tables.collect(LocalGrid(app, 1), quantiles=probabilities)["x"]
    assert [value for _, value in column.quantiles] == values
    assert len(queries) <= 1 + 8


def test_rare_values_do_not_leave_the_site() -> None:
    frame = pd.DataFrame({"id": [f"patient {i}" for i in range(9)], "ward": ["a"] * 6 + ["b"] * 3, "dose": 1.0})
    frame.loc[3:, "dose"] = np.nan
    reply = tables.answer(frame, RecordDict({"tables": ConfigRecord({"ask": "summary"})}))
    assert "patient" not in repr(reply)
    statistics = collect([frame], min_count=5)
    assert (statistics["id"].count, statistics["id"].withheld) == (0, 9)
    assert statistics["ward"].categories == (("a", 6),)
    assert (statistics["dose"].count, statistics["dose"].withheld, statistics["dose"].mean) == (0, 3, 0)


def test_categories_are_the_same_at_a_site_whose_missing_values_make_them_floats() -> None:
    whole, gaps = pd.Series([1, 2]).astype("category"), pd.Series([1, 2, None]).astype("category")
    statistics = collect([pd.DataFrame({"arm": whole}), pd.DataFrame({"arm": gaps})])
    assert statistics["arm"].categories == (("1", 2), ("2", 2))


def test_statistics_survive_json_and_pickle_and_reject_another_text() -> None:
    statistics = collect(random_sites(0), quantiles=[0.5])
    assert TableStatistics.from_json(statistics.to_json()) == statistics
    assert pickle.loads(pickle.dumps(statistics)) == statistics
    for text in ("{}", "[]", "?", statistics.to_json().replace('"missing": ', '"missing": 1')):
        with pytest.raises(ValueError, match=r"text|counts|Expecting"):
            TableStatistics.from_json(text)


def test_only_the_columns_asked_for_are_collected() -> None:
    statistics = collect(random_sites(0), columns=["size", "int"])
    assert statistics.names == ("size", "int")
    assert statistics.select("int").names == ("int",)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'", id="duplicate"),
        pytest.param(pd.DataFrame({7: [1]}), "column 0 must be a string, got int", id="not-text"),
        pytest.param(pd.DataFrame({"a\x1b[31m": [1]}), "must be printable", id="escape"),
        pytest.param(pd.DataFrame({"a": [[1], [2]]}), "column 'a' .* got list", id="lists"),
        pytest.param(pd.DataFrame({"a": ["secret", 3]}), "got int, str", id="mixed"),
        pytest.param(pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), "got Timestamp", id="dates"),
        pytest.param(pd.DataFrame({"a": [np.inf]}), "infinite", id="infinity"),
        pytest.param(pd.DataFrame({"a": [1e200, -1e200]}), "too large", id="overflow"),
        pytest.param(pd.DataFrame({"a": [10**400]}, dtype=object), "integers too large", id="huge"),
        pytest.param(pd.DataFrame({"a": ["secret\x00"]}), "not printable", id="control"),
        pytest.param(pd.DataFrame({"a": [f"secret {i}" for i in range(1001)]}), "1,001 categories", id="many"),
    ],
)
def test_a_table_that_cannot_be_summarised_is_refused_without_quoting_values(frame, reason: str) -> None:
    with pytest.raises(TableError, match=reason) as caught:
        collect([frame])
    assert "secret" not in str(caught.value)


def test_a_site_whose_numbers_are_text_is_named_with_the_column() -> None:
    numbers = pd.DataFrame({"age": [1.0, 2.0]})
    with pytest.raises(TableError, match="node 1002: column 'age' is categorical here but numeric") as caught:
        collect([numbers, numbers, pd.DataFrame({"age": ["1", " 2"]})])
    assert [failure.node_id for failure in caught.value.failures] == [1002]


def test_where_no_kind_is_in_the_majority_every_site_is_named() -> None:
    frames = [pd.DataFrame({"age": [1.0]}), pd.DataFrame({"age": ["1"]}), pd.DataFrame({"age": [None]})]
    with pytest.raises(TableError, match="numeric here but categorical at 1 other site;") as caught:
        collect(frames)
    assert [failure.node_id for failure in caught.value.failures] == [1000, 1001]


def test_an_error_calls_a_site_by_its_name() -> None:
    class Clinic(Site):
        def __init__(self, context: Context) -> None:
            index = partition_id(context)
            super().__init__(pd.DataFrame({"age": [[1.0], [2.0], ["3"]][index]}))
            self.name = ["Bern", "Lyon", "Graz"][index]

    with pytest.raises(TableError, match=r"Graz \(node 1002\): column 'age' is categorical here") as caught:
        tables.collect(LocalGrid(client_app(Clinic), 3))
    assert [failure.name for failure in caught.value.failures] == ["Graz"]


def test_a_site_that_lacks_a_column_is_named_with_it() -> None:
    frame = pd.DataFrame({"a": [1], "b": [1]})
    with pytest.raises(TableError, match="node 1000: its table lacks 'b'"):
        collect([frame[["a"]], frame, frame])
    with pytest.raises(TableError, match="node 1000: ClientError: there is no column 'b'"):
        collect([frame[["a"]], frame], columns=["b"])
    assert collect([frame, frame[["b", "a"]]]).names == ("a", "b")


def test_a_site_decides_whether_it_answers_for_quantiles() -> None:
    with pytest.raises(TableError, match="does not answer for quantiles"):
        collect(random_sites(0), quantiles=[0.5], allow_quantiles=False)


def forged(**changes: object) -> RecordDict:
    fields: dict = {
        "rows": 3,
        "columns": ["a", "b"],
        "kinds": ["numeric", "categorical"],
        "counts": [3, 3],
        "missing": [0, 0],
        "withheld": [0, 0],
        "means": [1.0, 0.0],
        "m2": [1.0, 0.0],
        "categories-1": ["x", "y"],
        "category-counts-1": [1, 2],
    }
    fields.update({key.replace("_", "-"): value for key, value in changes.items()})
    return RecordDict({"tables": ConfigRecord(fields)})


def reply_with(content: RecordDict) -> TableStatistics:
    class Forger(Site):
        def query(self, _):
            return content

    return tables.collect(LocalGrid(client_app(lambda context: Forger(pd.DataFrame())), 1))


def test_the_forged_reply_would_be_accepted_without_its_fault() -> None:
    assert reply_with(forged()).num_rows == 3


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"rows": 2**62, "counts": [2**62, 3]}, id="huge-count"),
        pytest.param({"rows": -3, "counts": [-3, -3]}, id="negative-count"),
        pytest.param({"counts": [2, 3]}, id="counts-do-not-add-up"),
        pytest.param({"counts": [3]}, id="short-list"),
        pytest.param({"means": [math.nan, 0.0]}, id="nan-mean"),
        pytest.param({"means": [1e300, 0.0]}, id="huge-mean"),
        pytest.param({"m2": [-1.0, 0.0]}, id="negative-m2"),
        pytest.param({"m2": [math.inf, 0.0]}, id="infinite-m2"),
        pytest.param({"means": [1.0, 1.0]}, id="mean-of-categories"),
        pytest.param({"counts": [1, 3], "missing": [2, 0]}, id="spread-of-one-number"),
        pytest.param({"kinds": ["numeric", "evil"]}, id="kind"),
        pytest.param({"kinds": ["numeric", "numeric"]}, id="categories-of-numbers"),
        pytest.param({"columns": ["a", "a"]}, id="duplicate-name"),
        pytest.param({"columns": ["a", "b\x1b[31m"]}, id="escape-in-name"),
        pytest.param({"categories_1": ["x", "\u202ey"]}, id="escape-in-category"),
        pytest.param({"categories_1": ["x", "x"]}, id="duplicate-category"),
        pytest.param({"category_counts_1": [1, 1]}, id="category-counts"),
        pytest.param({"category_counts_1": [4, -1]}, id="negative-category-count"),
        pytest.param({"categories_1": [str(i) for i in range(100_000)]}, id="many-categories"),
        pytest.param({"rows": "3\x1b[31m"}, id="text-for-rows"),
    ],
)
def test_a_forged_reply_is_refused(changes) -> None:
    with pytest.raises(TableError, match="node 1000: ") as caught:
        reply_with(forged(**changes))
    assert str(caught.value).replace("\n", "").isprintable()


def test_a_reply_without_statistics_or_with_an_error_is_refused() -> None:
    with pytest.raises(TableError, match="the reply has no statistics"):
        reply_with(RecordDict())
    with pytest.raises(TableError, match=r"Mute does not answer queries; give it query\(content\)"):
        tables.collect(LocalGrid(client_app(lambda context: Mute()), 1))


class Mute:
    def fit(self, parameters, config):
        return parameters, 1, {}


def test_forged_ranks_are_refused() -> None:
    class Forger(Site):
        def query(self, content):
            reply = super().query(content)
            if "ranks-0" in reply["tables"]:
                reply["tables"]["ranks-0"] = [10**6] * len(reply["tables"]["ranks-0"])
            return reply

    frame = pd.DataFrame({"a": [1.0, 2.0]})
    app = client_app(lambda context: Forger(frame, min_count=1, allow_quantiles=True))
    with pytest.raises(TableError, match="exceed the number of values"):
        tables.collect(LocalGrid(app, 1), quantiles=[0.5])


def test_a_failing_query_is_private_and_restores_the_state() -> None:
    class Fails(Site):
        def query(self, content):
            raise KeyError("secret")

    def client_fn(context: Context) -> Site:
        context.state["touched"] = ConfigRecord({"yes": True})
        return Fails(pd.DataFrame())

    grid = LocalGrid(client_app(client_fn), 1)
    with pytest.raises(TableError, match=r"KeyError at test_statistics\.py") as caught:
        tables.collect(grid)
    assert "secret" not in str(caught.value)
    assert grid.node_states() == {}


def test_mods_wrap_queries() -> None:
    seen = []

    def mod(message, context, call_next):
        seen.append(message.metadata.message_type)
        return call_next(message, context)

    app = client_app(lambda context: Site(pd.DataFrame({"a": [1]})), mods=[mod])
    tables.collect(LocalGrid(app, 1))
    assert seen == ["query"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({"columns": "age"}, TypeError, id="columns-is-text"),
        pytest.param({"columns": ["a", "a"]}, ValueError, id="columns-repeated"),
        pytest.param({"quantiles": [1.5]}, ValueError, id="quantile-beyond-1"),
        pytest.param({"quantiles": ["half"]}, TypeError, id="quantile-is-text"),
        pytest.param({"timeout": 0}, ValueError, id="no-time"),
    ],
)
def test_impossible_arguments_are_refused_before_any_query(arguments, error) -> None:
    with pytest.raises(error):
        tables.collect(LocalGrid(client_app(lambda context: Mute()), 1), **arguments)


RAY_RUN = """
import numpy as np, pandas as pd
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from flskew import client_app, partition_id, tables

class Site:
    def __init__(self, context):
        self.frame = pd.DataFrame({"a": [[1.0, 2.0, np.nan], [5.0]][partition_id(context)]})
    def fit(self, parameters, config):
        return parameters, 1, {}
    def query(self, content):
        return tables.answer(self.frame, content, min_count=1, allow_quantiles=True)

server = ServerApp()

@server.main()
def main(grid, context):
    print("found:", tables.collect(grid, quantiles=[0.5], min_nodes=2, timeout=60).to_json())

run_simulation(server, client_app(Site), 2, backend_config={"client_resources": {"num_cpus": 1}})
"""


@pytest.mark.ray
def test_the_statistics_are_the_same_on_ray() -> None:
    run = subprocess.run([sys.executable, "-c", RAY_RUN], check=True, capture_output=True, text=True)
    found = run.stdout.partition("found: ")[2].partition("\n")[0]
    frames = [pd.DataFrame({"a": [1.0, 2.0, np.nan]}), pd.DataFrame({"a": [5.0]})]
    assert TableStatistics.from_json(found) == collect(frames, quantiles=[0.5])
