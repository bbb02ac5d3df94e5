"""The ClientApp: a store that trains on its own customers' purchases and never shares them."""

from __future__ import annotations

from flwr.app import Context, RecordDict

from five_stores.task import evaluate, load_purchases, preparation, split, train
from flskew import ClientError, client_app, tables
from flskew.client import partition
from flskew.typing import Config, Parameters


class Store:
    """A client with the purchases of one store."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        purchases, self.assignment = load_purchases()
        self.partition_id, num_partitions = partition(context)
        if num_partitions != len(self.assignment):
            raise ClientError(f"num-supernodes must be {len(self.assignment)}, the number of stores")
        rows, test_rows = split(self.partition_id, int(self.config["seed"]))
        self.training, self.test = purchases.rows(rows), purchases.rows(test_rows)

    def query(self, content: RecordDict) -> RecordDict:
        """Answer with the mean and the variance of each column in the training rows."""
        return tables.answer(self.training.columns, content)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's model on this store's purchases."""
        features = preparation(config["tables"]).transform(self.training.columns)
        seed = (int(self.config["seed"]), config["server-round"], self.partition_id)
        parameters = train(parameters, features, self.training.labels, self.config, seed)
        return parameters, len(self.training.labels), {}

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Test the server's model on purchases that this store holds out."""
        features = preparation(config["tables"]).transform(self.test.columns)
        scores = evaluate(parameters, features, self.test.labels)
        return scores["loss"], len(self.test.labels), {"auc": scores["auc"]}


app = client_app(Store)
