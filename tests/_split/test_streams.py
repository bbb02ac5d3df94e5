"""A stream depends only on its name."""

from __future__ import annotations

import random

import numpy as np
import scipy.stats

from flskew import DirichletPartitioner, IidPartitioner
from flskew._split.streams import Streams


def test_a_stream_does_not_depend_on_draws_from_others():
    streams = Streams(1)
    alone = streams("rows", "a").random(3).tolist()
    streams("rows", "b").random(100)
    assert streams("rows", "a").random(3).tolist() == alone


def test_two_streams_are_two_generators():
    streams = Streams(1)
    first, second = streams("rows", "a"), streams("rows", "b")
    together = [(first.random(), second.random()) for _ in range(3)]
    assert [one for one, _ in together] == streams("rows", "a").random(3).tolist()
    assert [one for _, one in together] == streams("rows", "b").random(3).tolist()
    assert streams("rows", "a") is not streams("rows", "a")


def test_streams_differ_by_seed_purpose_label_and_type():
    names = [
        (1, "rows", 1),
        (2, "rows", 1),
        (1, "order", 1),
        (1, "rows", 2),
        (1, "rows", "1"),
        (1, "rows", True),
        (1, "rows", None),
    ]
    draws = {Streams(seed)(purpose, label).random() for seed, purpose, label in names}
    assert len(draws) == len(names)


def test_the_streams_of_a_part_depend_only_on_what_identifies_it():
    whole = Streams(1)
    bern = whole.part("natural id", "Bern")("rows", 1).random()
    whole.part("natural id", "Rome")("rows", 1).random()
    assert whole.part("natural id", "Bern")("rows", 1).random() == bern
    assert whole.part("natural id", "a", "b")("rows").random() == whole.part("natural id", "b", "a")("rows").random()
    parts = [
        whole,
        Streams(2).part("natural id", "Bern"),
        *(whole.part("natural id", *labels) for labels in (["Bern"], ["Rome"], [1], ["1"], [True], [], ["a", "b"])),
        # Names that are equal once they are joined.
        *(whole.part("natural id", *labels) for labels in (["a:str:b"], ["a:str:1:b"], ["str:1:a", "str:1:b"])),
        whole.part("natural id:str:1:a"),
        whole.part("natural id", "a"),
        whole.part("mixture"),
        whole.part("mixture").part("mixture"),
    ]
    assert len({part("rows", 1).random() for part in parts}) == len(parts)


def test_first_draws_over_many_names_are_uniform_and_unrelated():
    streams = Streams(7)
    draws = np.array([streams("shares", label).random() for label in range(5000)])
    assert scipy.stats.kstest(draws, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.05


def test_the_global_generators_are_neither_read_nor_seeded():
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    first = DirichletPartitioner(3, "label", 1.0, 0).assign(range(50))
    IidPartitioner(3).assign(range(50))
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    assert DirichletPartitioner(3, "label", 1.0, 0).assign(range(50)) == first
