"""Which partition a client holds."""

from __future__ import annotations

import pytest
from flwr.app import Context, RecordDict

from flskew.client import partition, partition_id


def context(**node_config: object) -> Context:
    config = {key.replace("_", "-"): value for key, value in node_config.items()}
    return Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})  # type: ignore[arg-type]


def test_the_partition_is_that_of_the_node_config() -> None:
    assert partition(context(partition_id=2, num_partitions=3)) == (2, 3)
    assert partition_id(context(partition_id=2, num_partitions=3)) == 2


def test_the_partition_id_alone_needs_no_number_of_partitions() -> None:
    assert partition_id(context(partition_id=5)) == 5


def test_a_node_without_one_is_told_how_to_set_it() -> None:
    with pytest.raises(LookupError, match="partition-id is not in this node's config") as caught:
        partition_id(context())
    assert '--node-config "partition-id=0 num-partitions=3"' in str(caught.value)
    with pytest.raises(LookupError, match="num-partitions is not in this node's config"):
        partition(context(partition_id=0))


@pytest.mark.parametrize("number", [3, -1])
def test_an_id_beyond_the_partitions_is_refused(number: int) -> None:
    for function in (partition, partition_id):
        with pytest.raises(ValueError, match=rf"must be one of 0 ... 2, got {number} of num-partitions=3"):
            function(context(partition_id=number, num_partitions=3))
    with pytest.raises(ValueError, match="at least 0, got -1"):
        partition_id(context(partition_id=-1))


@pytest.mark.parametrize("value", ["0", 1.0, True])
def test_an_id_that_is_no_integer_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="partition-id must be an integer"):
        partition_id(context(partition_id=value))
