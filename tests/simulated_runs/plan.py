"""What happens in one simulated run: all of it is drawn from the seed before the run starts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.serverapp import strategy as flower

from flskew import Checked, ClassAware, FedAvg, FedDyn, FedNova, FedProx, Scaffold

# For these, laws.py checks that the new model is the weighted mean of the accepted replies: all clients take one step,
# and have the same shares of both classes.
AVERAGING: dict[str, Callable[[int], FedAvg]] = {
    "FedAvg": lambda needed: FedAvg(min_replies=needed),
    "FedAvg of a sample": lambda needed: FedAvg(fraction_train=0.6, fraction_evaluate=0.5, min_replies=needed, seed=5),
    "FedAvg with a limit": lambda needed: FedAvg(min_replies=needed, max_update_norm=1e6),
    "FedAvg by class": lambda needed: FedAvg(averaging=ClassAware(head={"weight": 0}), min_replies=needed),
    "FedNova": lambda needed: FedNova(min_replies=needed),
    "FedProx": lambda needed: FedProx(proximal_mu=0.5, adaptive_mu="train", min_replies=needed),
}
STRATEGIES: dict[str, Callable[[int], FedAvg | Checked]] = {
    **AVERAGING,
    "FedDyn of a sample": lambda needed: FedDyn(alpha=0.5, fraction_train=0.6, min_replies=needed, seed=5),
    "FedDyn by class": lambda needed: FedDyn(averaging=ClassAware(head={"weight": 0}), min_replies=needed),
    "Scaffold": lambda needed: Scaffold(min_replies=needed),
    "FedAvgM": lambda needed: Checked(
        flower.FedAvgM(server_learning_rate=0.5, server_momentum=0.9), min_replies=max(needed, 1)
    ),
    "FedAdam": lambda needed: Checked(flower.FedAdam(), min_replies=max(needed, 1)),
    "FedMedian": lambda needed: Checked(flower.FedMedian(), min_replies=max(needed, 1)),
}

ACCEPTED = ("good", "twice", "text metric")
"""Events after which the reply is still accepted."""

DROPPED = (
    "raises", "raises the unprintable", "raises in a mod", "returns too little", "returns text", "has no rows",
    "diverges", "lost", "cut", "negative weight", "hostile error", "claims another dtype",
)  # fmt: skip
"""Events after which the reply is dropped, with a reason."""

STEPS_PER_ROUND = 35
"""Approximate number of steps in a round."""

HUGE = "huge"
"""Finite but enormous: accepted unless the strategy has a limit."""


@dataclass(frozen=True)
class Life:
    """One process that works on the folder until it finishes or is killed.

    Attributes:
        dies_at: The step at which it is killed; None if it is not.
        full_at: The step from which the disk is full.
        rival_at: The step at which another process starts a run in the same folder.
        rival_resumes: Whether that process passes resume=True.
        rots: Whether a byte of a file is damaged before the next process starts.
    """

    dies_at: int | None = None
    full_at: int | None = None
    rival_at: int | None = None
    rival_resumes: bool = False
    rots: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything that a seed determines.

    Attributes:
        seed: The seed.
        strategy: A key of STRATEGIES.
        needed: Its min_replies.
        num_nodes: Number of clients.
        num_rounds: Number of rounds.
        workers: Number of clients that run at the same time.
        events: What happens to the reply of a partition, by phase, round and partition.
        lives: The processes, one after the other; the last one has no fault.
        patience: Its stop_after, for a run that keeps the model with the lowest loss; None for one that keeps none.
    """

    seed: int
    strategy: str
    needed: int
    num_nodes: int
    num_rounds: int
    workers: int
    events: Mapping[tuple[str, int, int], str]
    lives: tuple[Life, ...]
    patience: int | None

    def event(self, phase: str, server_round: int, partition_id: int) -> str:
        """Return what happens to one reply."""
        return self.events.get((phase, server_round, partition_id), "good")

    def make_strategy(self) -> FedAvg | Checked:
        """Return a new strategy."""
        return STRATEGIES[self.strategy](self.needed)


def plan(seed: int) -> Plan:
    """Return the plan of a seed."""
    rng = random.Random(seed)
    num_nodes, num_rounds = rng.randint(2, 4), rng.randint(1, 3)
    strategy = rng.choice(sorted(STRATEGIES))
    how_bad = rng.choice([0.0, 0.1, 0.4, 0.8])
    events = {}
    for server_round in range(1, num_rounds + 1):
        for partition_id in range(num_nodes):
            for phase in ("train", "evaluate"):
                if rng.random() < how_bad:
                    others = (*ACCEPTED, *DROPPED, HUGE) if phase == "train" else ("raises", "lost", "twice")
                    events[phase, server_round, partition_id] = rng.choice(others)
    lives = [_life(rng, num_rounds) for _ in range(rng.randint(0, 3))]
    needed = rng.choice([0, 1, 1, 2])
    workers, patience = rng.choice([1, 3]), rng.choice([None, 1, 2])
    return Plan(seed, strategy, needed, num_nodes, num_rounds, workers, events, (*lives, Life()), patience)


def _life(rng: random.Random, num_rounds: int) -> Life:
    def some_step() -> int:
        return rng.randint(1, 10 + STEPS_PER_ROUND * num_rounds)  # steps after the end do not happen

    kind = rng.choice(["dies", "dies", "disk", "rival", "rival and dies"])
    return Life(
        dies_at=some_step() if "dies" in kind else None,
        full_at=some_step() if kind == "disk" else None,
        rival_at=some_step() if "rival" in kind else None,
        rival_resumes=rng.random() < 0.5,
        rots=rng.random() < 0.1,
    )
