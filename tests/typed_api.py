"""Typed uses of the public names. `make types` checks this file; it is never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, assert_type

import flwr.client
import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam, Result, Strategy
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flskew import (
    Assignment,
    BestModel,
    Checked,
    Checkpoint,
    ClassAware,
    CrossPartitioner,
    DirichletPartitioner,
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    History,
    IidPartitioner,
    KeepBest,
    LabelExclusionPartitioner,
    LabelPrior,
    LinearPartitioner,
    LocalGrid,
    LocalTerm,
    MixturePartitioner,
    NaturalIdPartitioner,
    PartitionIdError,
    RoundError,
    RunResult,
    Scaffold,
    Schedule,
    SizePartitioner,
    client_app,
    partition,
    partition_id,
    plots,
    shifts,
    simulate,
    skew,
    split_by_time,
    study,
    synthetic,
    tables,
    testing,
    without_local,
)
from flskew.client import LogitTransform
from flskew.partitioners import Partitioner
from flskew.shifts import Blur, Chain, Channels, ImageShift, Quantize, Ramp, Rotate, ShiftedDataset, View, Viewer
from flskew.typing import Figures, Rows

Arrays = list[NDArray[np.float64]]

# Labels have any supported type.
iid = IidPartitioner(3, partition_by="label", seed=1)
assert_type(iid.assign([0, 1, 2]), Assignment)
iid.assign(["a", "b", "c"])
iid.assign(np.array([True, False, True]))
iid.assign(pd.Series([1, 2, 3]))
iid.assign(pa.array([1, 2, 3]))
iid.assign(pa.chunked_array([[1, 2], [3]]))
several = iid.assign([["a", "b"], [], {"a"}])
assert_type(several.label_targets, NDArray[np.int64] | None)
assert_type(several.target_deviation, float)
iid.assign(np.zeros((3, 2)))
several.match(pd.DataFrame({"a": [1], "b": [0]}))

# Hyper-parameters are plain numbers or NumPy's.
DirichletPartitioner(10, "label", 0.5)
DirichletPartitioner(3, "label", [0.1, 1.0, 10.0], min_partition_size=0, self_balancing=True, shuffle=False, seed=7)
DirichletPartitioner(3, "label", np.array([0.1, 1.0, 10.0]))
LabelExclusionPartitioner([{1, 3, 7}, {2, 5, 8}, {4, 6, 9}])
LabelExclusionPartitioner([["a"], ("b",), frozenset("c")], "digit", on_excluded="drop")
LabelExclusionPartitioner({0: {1}}, num_partitions=3, alpha=0.5)
assert_type(LabelExclusionPartitioner.random(3, range(10), 3), LabelExclusionPartitioner)

# By another column, within natural ids, and partly IID.
assert_type(DirichletPartitioner(3, num_bins=4).assign(np.array([20.5, 70.0]), labels=["well", "sick"]), Assignment)
wards = CrossPartitioner(NaturalIdPartitioner("hospital"), DirichletPartitioner(2))
assert_type(wards.assign(["Bern", "Rome"], labels=[0, 1]), Assignment)
wards.assign(pd.Series(["Bern"]), [0], like=wards.assign(["Bern"], [0]))
assert_type(wards.inner, Partitioner)
assert_type(MixturePartitioner(DirichletPartitioner(3), iid_fraction=0.3).iid_fraction, float)
SizePartitioner(np.array([3, 4]), partition_by="label")
assert_type(LinearPartitioner(3).partition_id_to_size, dict[int, int])

# A partitioner is one of Flower Datasets.
iid.dataset = Dataset.from_dict({"label": [0, 1, 2]})
assert_type(iid.load_partition(0), Dataset)
assert_type(iid.num_partitions, int)

# An assignment is a value with typed parts.
assignment = iid.assignment

# A split has any type from which counts can be computed.
assert_type(skew.total_variation(assignment), float)
skew.total_variation(np.array([[3, 1], [1, 3]]))
skew.total_variation([[0, 1], np.array([1, 1]), pd.Series([0])])
skew.total_variation(assignment.to_frame())
skew.total_variation(iid)
assert_type(skew.tally(iid, label_by="label", class_names=["a", "b", "c"]), skew.Tally)
assert_type(skew.report(assignment), skew.Report)
assert_type(skew.report(assignment).to_frame(), pd.DataFrame)
assert_type(skew.advise(assignment), skew.Advice)
assert_type(skew.advise(np.array([[3, 1], [1, 3]]), covariate_shift=0.2).strategy, str | None)
skew.advise(assignment, pd.DataFrame({"age": [1, 2, 3]}), [0, 1, 2])
skew.compare([assignment, np.array([[1, 2]])])
skew.compare({"ours": assignment, "theirs": iid})
assert_type(skew.alpha_for(0.3, [0, 1, 2], 2, measure=skew.effective_classes).alpha, float)
assert_type(skew.feature_report(np.zeros((3, 2)), assignment), skew.FeatureReport)
assert_type(skew.feature_report({"age": [1, 2, 3]}, assignment).columns[0].distances, NDArray[np.float64])
assert_type(skew.feature_report(pd.DataFrame(), assignment).to_frame(), pd.DataFrame)
assert_type(skew.audit(assignment, labels=["a", "b"], test={"Bern": [0]}, ids=[1, 2]), skew.Audit)
assert_type(assignment[0], NDArray[np.int64])
assert_type(list(assignment), list[NDArray[np.int64]])
assert_type(len(assignment), int)
assert_type(assignment.num_rows, int)
assert_type(assignment.sizes, NDArray[np.int64])
assert_type(assignment.unassigned, NDArray[np.int64])
assert_type(assignment.label_counts, NDArray[np.int64])
assert_type(assignment.fingerprint, str)
assert_type(assignment.match([0, 1]), Assignment)
assert_type(assignment.to_frame(), pd.DataFrame)
assignment.save(Path("split.npz"))
assert_type(Assignment.load("split.npz"), Assignment)
assert_type(assignment.names, tuple[str, ...] | None)
assert_type(assignment["Bern"], NDArray[np.int64])
Assignment.from_partitions({"Bern": np.array([0, 2]), "Lyon": np.array([1])})
Assignment.from_partitions({"Bern": [0, 2], "Lyon": [1]}, labels=["a", "b", "a"])
sites = NaturalIdPartitioner("site", natural_ids=["Bern", "Lyon"], on_unknown="drop", num_bins=4)
assert_type(sites.assign(pd.Series(["Bern"]), like=assignment), Assignment)
assert_type(sites.partition_id_to_natural_id, dict[int, int | str | bool])
assert_type(split_by_time(assignment, [date(2024, 1, 1)] * 3, date(2024, 1, 1)), tuple[Assignment, Assignment])
split_by_time(assignment, pd.to_datetime(pd.Series(["2024-01-01"] * 3)), test=0.3, labels=[0, 1, 2])
split_by_time(assignment, np.array(["2024-01-01"] * 3, dtype="datetime64[D]"), np.datetime64("2024"))
split_by_time(assignment, [2020, 2021.5, 2022], 2021)

# Labels and missing values differ between clients.
codes: dict[str, str] = {"flu": "influenza"}
assert_type(shifts.Relabel(codes, [0.0, 0.5], partitions=[1]).at(0.5), shifts.Relabel)
assert_type(shifts.Relabel({1: 7, 7: 1}) | shifts.SwapLabels(shifts.Ramp(0.4), classes=10), shifts.Chain)
shifts.SwapLabels(0.1, classes=["flu", "cold"])
assert_type(shifts.Missing(["age"], 0.5, fill=-1, partitions=[0]), shifts.Missing)
assignment.with_shift(shifts.Relabel({1: 7})).shift_labels([0, 1]).tolist()
bern = assignment.view("Bern")
assert_type(bern.dataset(iid.load_partition(0), feature_by="image", lazy=True, transform=dict), Dataset)
testing.check_shift(shifts.SwapLabels([0.0, 0.5], 2), np.zeros((3, 2)), [0, 1, 0], num_partitions=2)

# Synthetic data sets consist of features, labels and an assignment.
points = synthetic.fcube(100, 10, seed=1)
assert_type(points.train, synthetic.FederatedData)
assert_type(points.test.features, NDArray[np.float64])
assert_type(points.test.labels, NDArray[np.int64])
assert_type(points.test.assignment, Assignment)
assert_type(synthetic.synthetic(1, 0.5, 2, sizes=[10, 20], test=0.2).weights, NDArray[np.float64])
synthetic.synthetic(iid=True, sizes=10)

# A schedule has an assignment for each round.
schedule = Schedule({1: assignment, 11: assignment})
assert_type(schedule, Schedule)
assert_type(Schedule.between(assignment, assignment, range(1, 20), labels=["a", "b"], seed=1), Schedule)
assert_type(Schedule.by_time(assignment, [2020, 2021.5, 2022], {1: 2020, 5: 2021.5}, accumulate=True), Schedule)
Schedule.by_time(assignment, pd.to_datetime(pd.Series(["2024-01-01"] * 3)), {1: date(2024, 1, 1)}, labels=[0, 1, 2])
Schedule.by_time(assignment, [date(2024, 1, 1)] * 3, np.arange(1, 9, 2))
assert_type(schedule.assignment(3), Assignment)
assert_type(schedule.rows("Bern", 3), NDArray[np.int64])
assert_type(schedule.view(0, 3), shifts.View)
assert_type(schedule.with_shift(shifts.Noise(0.1), severities=[0, 1]).away("Bern", until=3).after(5), Schedule)
assert_type(schedule.match([0, 1]), Schedule)
assert_type(schedule.stages, Mapping[int, Assignment])
assert_type(schedule.to_frame(), pd.DataFrame)
schedule.save(Path("drift.npz"))
assert_type(Schedule.load("drift.npz"), Schedule)
assert_type(plots.drift(schedule, skew.gini, name="Gini", num_rounds=20), Figure)
try:
    assignment[9]
except PartitionIdError as error:
    key_error: KeyError = error
    index_error: IndexError = error

# A picture takes any split, and returns its figure.
assert_type(plots.dots(assignment), Figure)
plots.dots(iid, partition_id_axis="y", ax=Figure().add_subplot())
plots.heatmap(np.array([[1, 2], [3, 4]]))
plots.bars([["cat", "dog"], ["dog"]])
plots.sizes(assignment.to_frame())
assert_type(plots.splits({"mine": assignment}, kind="bars"), Figure)
plots.splits([assignment, iid], ax=[Figure().add_subplot(), Figure().add_subplot()])
plots.recall({"alone": [0.5, 1.0], "together": np.array([0.9, 0.9])}, class_names=["cat", "dog"])
plots.recall(np.array([[0.5, 1.0]]))
plots.accuracy({1: [0.5, 0.6], 2: [0.7]}, {0: 0.1, 1: 0.5})
plots.accuracy(np.array([[0.5, 0.6]]), central=[0.5])
assert_type(plots.features({"age": [1, 2, 3]}, assignment, columns=["age"]), Figure)


# A client is any object with the two methods, or one of Flower's.
class Client:
    """Inherits from nothing."""

    def fit(self, parameters: Arrays, config: Mapping[str, object]) -> tuple[Arrays, int, dict[str, float]]:
        """Train."""
        term = LocalTerm.from_config(config, parameters)
        gradients = [np.zeros_like(array) for array in parameters]
        term.add_gradient(parameters, gradients)
        assert_type(term.loss(parameters), float)
        return parameters, 10, {"loss": 0.5}

    def evaluate(self, parameters: Arrays, config: Mapping[str, object]) -> tuple[float, int, dict[str, float]]:
        """Evaluate."""
        return 0.5, 10, {"accuracy": 0.9}


class Table:
    """Answers queries about its table."""

    def fit(self, parameters: Arrays, config: Mapping[str, object]) -> tuple[Arrays, int, dict[str, float]]:
        """Train."""
        return parameters, 10, {}

    def query(self, content: RecordDict) -> RecordDict:
        """Return statistics of the columns."""
        return tables.answer(pd.DataFrame({"age": [1.0, 2.0]}), content, min_count=1)


class FlowersClient(flwr.client.NumPyClient):
    """Has the methods of a NumPyClient."""


def client_fn(context: Context) -> Client:
    """Make a client."""
    return Client()


class OnlyFits:
    """Does not evaluate, and has an assignment."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def fit(self, parameters: Arrays, config: dict[str, object]) -> tuple[Arrays, np.int64, dict[str, np.float32]]:
        """Train."""
        return parameters, np.int64(10), {"local-epochs": np.float32(1.5)}


def keep(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Do nothing, as a mod."""
    assert_type(partition(context), tuple[int, int])
    assert_type(partition_id(context), int)
    return call_next(message, context)


app = client_app(client_fn)
client_app(lambda context: OnlyFits(assignment), mods=[keep], same_shapes=False)
client_app(client_fn, keep_local=["*bn*", "head.*"])
client_app(client_fn, errors="full", train_mods=[keep], evaluate_mods=(keep,))
assert_type(app, ClientApp)
client_app(lambda context: FlowersClient())

# A loss for missing classes is a pair of arrays.
prior = LabelPrior(assignment.label_counts[0])
LabelPrior([3, 0, 1])
LabelPrior(np.array([3, 0, 1], np.uint8))
assert_type(prior.counts, NDArray[np.int64])
assert_type(prior.masking(), LogitTransform)
assert_type(prior.logit_adjustment(tau=0.5).offset, NDArray[np.float32])
scale, offset = prior.fedrs(alpha=0.5)
assert_type(scale, NDArray[np.float32])
adjusted: NDArray[np.float32] = np.zeros((4, 3), np.float32) * scale + offset

# The strategies, the Grid and the ServerApp are Flower's.
strategy: Strategy = FedAvg(fraction_train=1.0, min_train_nodes=3)
prox: Strategy = FedProx(proximal_mu=0.1)
FedProx(averaging=ClassAware(head={"fc2.weight": 0, "fc2.bias": 0}, count_noise=5))
dyn: Strategy = FedDyn(alpha=0.03, fraction_train=0.1, averaging=ClassAware())
assert_type(FedDyn().alpha, float)
assert_type(Scaffold(server_learning_rate=0.5, seed=7).server_learning_rate, float)
assert_type(FedNova(momentum=0.9).momentum, float)
assert_type(FedAvg(averaging=ClassAware()).averaging, ClassAware | None)
assert_type(ClassAware().head, dict[str, int] | None)
assert_type(ClassAware().count_noise, float)
grid: Grid = LocalGrid(app, 3)
arrays = ArrayRecord([np.zeros(3)])
assert_type(FedAvg().start(grid, arrays, num_rounds=3), RunResult)
assert_type(FedDyn().start(grid, arrays, keep_best="accuracy"), RunResult)
flowers_result: Result = FedAvg().start(grid, arrays)


# The best model is kept, and a run ends once it no longer improves, or when a rule of yours says so.
def is_good(server_round: int, result: RunResult) -> bool:
    """Stop once the best model is good enough."""
    return result.best is not None and result.best.value > 0.9


def is_late(server_round: int, result: Result) -> bool:
    """Know only of Flower's result."""
    return server_round > 5


FedAvg().start(grid, arrays, keep_best="accuracy", stop_after=5, should_stop=is_good)
kept = FedAvg().start(grid, arrays, keep_best=KeepBest("loss", lower_is_better=True, source="clients")).best
assert_type(kept, BestModel | None)
if kept is not None:
    assert_type((kept.server_round, kept.value, kept.arrays), tuple[int, float, ArrayRecord])
FedProx().start(grid, arrays, should_stop=is_late)
assert_type(without_local(arrays, ("*bn*", "head.*")), ArrayRecord)

# A server collects statistics of the clients' tables.
client_app(lambda context: Table())
statistics = tables.collect(grid, quantiles=[0.5])
assert_type(statistics, tables.TableStatistics)

# A run is saved, sealed if wanted, and loaded.
FedAvg().start(grid, arrays, checkpoint_dir=Path("run"), resume=True, checkpoint_key=bytes(32))
checkpoint = Checkpoint.load("run", key=bytes(32))
assert_type(checkpoint.result, RunResult)
assert_type(checkpoint.result.best, BestModel | None)
assert_type(checkpoint.lost_rounds, tuple[int, ...])


# Clients see images through shifts of the library and of your own.
class Brighter(ImageShift):
    """A shift of your own."""

    def change_images(self, images: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Add a tenth."""
        return images + 0.1

    def at(self, severity: float) -> Brighter:
        """Return the same."""
        return self


scanners = (
    Rotate([0, 90], fill=0.1) | Blur(Ramp(1.0)) | Channels([[1, 1, 1], [1, 0.9, 0.8]]) | Quantize(0.1) | Brighter()
)
assert_type(scanners | Brighter(), Chain)
assert_type(scanners.at(0.5), Chain)
assert_type(Rotate(30, layout="NHWC", partitions=[0]).at(0.5), Rotate)
view = Assignment.from_partitions([[0], [1]]).with_shift(scanners).view(1)
assert_type(view, View)
photos = [(np.zeros((8, 8, 3)), 0), (np.ones((8, 8, 3)), 1)]
assert_type(len(ShiftedDataset(photos, view, rows=[0, 1], transform=np.negative)), int)

# The history is available as values, as a frame and as a file.
checked = Checked(FedAdam(), min_replies=3)
try:
    assert_type(checked.start(grid, arrays, num_rounds=3), RunResult)
except RoundError as round_error:
    assert_type(round_error.result, RunResult)
assert_type(checked.result.arrays, ArrayRecord)
assert_type(checked.history, History)
assert_type(checked.history[0].replies[0].assignment, str | None)
assert_type(checked.history[0].failures[0].reason, str)
assert_type(checked.history.to_frame(), pd.DataFrame)
assert_type(checked.history[0].replies[0].name, str | None)
assert_type(checked.history[0].replies[0].partition_id, int | None)
assert_type(checked.history.clients("accuracy", "train"), pd.DataFrame)
assert_type(plots.clients(checked.history, "loss", lower_is_better=True), Figure)
checked.history.to_jsonl(Path("history.jsonl"))
assert_type(simulate(ServerApp(), app, num_supernodes=3, run_config={"learning-rate": 0.1}), Context)

results = study.Results([], ["iid"], ["alone", "pooled", "FedAvg", "FedDyn"], range(5), interval="bootstrap")
assert_type(results.figures("own"), Figures)
assert_type(results.table("worst"), study.Table)
assert_type(results.gains("FedDyn", over="alone", what="unseen").frame, pd.DataFrame)
assert_type(results.using(metric="loss", lower_is_better=True, confidence=0.9), study.Results)
assert_type(results.clients("iid"), pd.DataFrame)
assert_type(results.to_target(0.9).remarks, tuple[str, ...])
assert_type(results.plot("iid", ax=Figure().add_subplot()), Figure)
assert_type(results.plot_gains("FedDyn", over="alone", what="own", split="all splits"), Figure)
assert_type(results.plot_clients("iid", "FedAvg", over="pooled"), Figure)
