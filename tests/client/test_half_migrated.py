"""A current client under a ServerApp of Flower's legacy API: the error says which side to change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Context
from flwr.client import NumPyClient
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp

from flskew import client_app, simulate

REASON = (
    "ClientError: the ServerApp uses Flower's legacy API (its message has '{}'), but this client uses the Message API; "
    "replace server_fn, or the strategy of flwr.server, with a function decorated with @app.main()"
)


class Client(NumPyClient):
    def fit(self, parameters: Any, config: Any) -> Any:
        return parameters, 10, {}


def strategy(**arguments: Any) -> LegacyFedAvg:
    return LegacyFedAvg(fraction_evaluate=0.0, **arguments)


START = {"initial_parameters": ndarrays_to_parameters([np.zeros(4)])}
APP = client_app(lambda context: Client().to_client())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_server_fn_that_asks_a_client_for_the_initial_model_ends_with_the_reason() -> None:
    server = ServerApp(server_fn=lambda context: ServerAppComponents(strategy=strategy()))
    with pytest.raises(ValueError, match="Message contains an Error") as caught:
        simulate(server, APP, 3)
    assert REASON.format("getparametersins.config") in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_reason_is_in_the_log_of_a_server_fn_with_an_initial_model(log: pytest.LogCaptureFixture) -> None:
    server = ServerApp(server_fn=lambda context: ServerAppComponents(strategy=strategy(**START)))
    simulate(server, client_app(lambda context: Client().to_client()), 3)
    assert any(REASON.format("fitins.parameters") in message for message in log.messages)


def test_the_reason_is_in_the_log_of_the_secure_aggregation_workflow(log: pytest.LogCaptureFixture) -> None:
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        old = LegacyContext(context, ServerConfig(num_rounds=1), strategy(**START))
        DefaultWorkflow(fit_workflow=SecAggPlusWorkflow(3, 2))(grid, old)

    simulate(server, client_app(lambda context: Client().to_client()), 3)
    assert any(REASON.format("secaggplus_configs") in message for message in log.messages)
