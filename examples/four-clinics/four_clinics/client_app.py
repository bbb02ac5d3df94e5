"""The ClientApp: a clinic that trains on its own patients' records and never shares them."""

from __future__ import annotations

from flwr.app import Context, RecordDict

from flskew import ClientError, client_app, tables
from flskew.client import partition
from flskew.typing import Config, Parameters
from four_clinics.data import load_patients, split
from four_clinics.task import evaluate, features, train


class Clinic:
    """A client with the patients of one clinic."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        patients, self.assignment = load_patients(str(self.config["target"]))
        self.partition_id, num_partitions = partition(context)
        if num_partitions != len(self.assignment):
            raise ClientError(f"num-supernodes must be {len(self.assignment)}, the number of clinics")
        self.who = self.partition_id, str(self.config["target"]), int(self.config["seed"])
        rows, test_rows = split(*self.who)
        self.training, self.test = patients.rows(rows), patients.rows(test_rows)

    def query(self, content: RecordDict) -> RecordDict:
        """Answer with counts, means, variances and categories of the training rows."""
        return tables.answer(self.training.columns, content)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's model on this clinic's patients."""
        training, _ = features(*self.who, config["tables"])
        seed = (int(self.config["seed"]), config["server-round"], self.partition_id)
        parameters = train(parameters, training, self.training.targets, self.config, seed)
        return parameters, len(self.training.targets), {}

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Test the server's model on patients that this clinic holds out."""
        _, test = features(*self.who, config["tables"])
        scores = evaluate(parameters, test, self.test.targets, self.config)
        return scores["loss"], len(self.test.targets), {"score": scores["score"]}


app = client_app(Clinic)
