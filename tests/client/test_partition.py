"""The partition of a client."""

from __future__ import annotations

import pytest
from flwr.app import Context, RecordDict

from flskew.client import ClientError, partition, partition_id


def context(**node_config: object) -> Context:
    config = {key.replace("_", "-"): value for key, value in node_config.items()}
    return Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})  # type: ignore[arg-type]


def test_the_partition_is_read_from_the_node_config() -> None:
    assert partition(context(partition_id=2, num_partitions=3)) == (2, 3)
    assert partition_id(context(partition_id=2, num_partitions=3)) == 2


def test_partition_id_does_not_need_the_number_of_partitions() -> None:
    assert partition_id(context(partition_id=5)) == 5


def test_a_missing_setting_is_an_error_that_says_how_to_set_it() -> None:
    with pytest.raises(ClientError, match="partition-id is not in this node's config") as caught:
        partition_id(context())
    assert '--node-config "partition-id=0 num-partitions=3"' in str(caught.value)
    with pytest.raises(ClientError, match="num-partitions is not in this node's config"):
        partition(context(partition_id=0))


@pytest.mark.parametrize("number", [3, -1])
def test_an_id_beyond_the_partitions_is_refused(number: int) -> None:
    for function in (partition, partition_id):
        with pytest.raises(ClientError, match=r"partition-id must be one of 0 ... num-partitions - 1; start the Super"):
            function(context(partition_id=number, num_partitions=3))
    with pytest.raises(ClientError, match="partition-id must be at least 0; start the SuperNode"):
        partition_id(context(partition_id=-1))


@pytest.mark.parametrize("value", ["0", 1.0, True])
def test_an_id_that_is_not_an_integer_is_refused(value: object) -> None:
    with pytest.raises(ClientError, match=f"partition-id must be an integer, got {type(value).__name__}; write it wit"):
        partition_id(context(partition_id=value))


@pytest.mark.parametrize(
    "config",
    [{}, {"partition_id": "hunter2"}, {"partition_id": 7_654_321}, {"partition_id": -7_654_321}],
)
def test_no_error_quotes_the_node_config_which_may_contain_a_password(config: dict[str, object]) -> None:
    node = context(**config, num_partitions=3, database="user:hunter2@db")
    for function in (partition, partition_id):
        with pytest.raises(ClientError) as caught:
            function(node)
        assert "hunter2" not in str(caught.value)
        assert "7654321" not in str(caught.value)
