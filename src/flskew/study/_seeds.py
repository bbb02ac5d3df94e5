"""The seed of each client in each round, and partitioners with the seed of a study."""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar

from flwr_datasets.partitioner import Partitioner

from flskew._util.values import fields

__all__ = ["POOLED", "client_seed", "reseeded"]

POOLED = -1
"""Stands for the partition id of the client that holds all rows."""

P = TypeVar("P", bound=Partitioner)


def client_seed(seed: int, server_round: int, partition_id: int) -> int:
    """Return an integer from 0 to 2^31 - 1; what a client draws does not depend on the method or on other clients."""
    digest = blake2b(f"{seed}:{server_round}:{partition_id}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def reseeded(partitioner: P, seed: int) -> P:
    """Return the same partitioner with another seed, and so do those within it."""
    arguments = {
        parameter.name: reseeded(value, seed) if isinstance(value, Partitioner) else value
        for parameter, value in fields(partitioner)
    }
    if "seed" in arguments:
        arguments["seed"] = seed
    return type(partitioner)(**arguments)
