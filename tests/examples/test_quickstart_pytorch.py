"""The PyTorch quickstart: hospitals that lack digits or a Dirichlet split, on digits and MNIST."""

from __future__ import annotations

import gzip
import struct
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flskew import DirichletPartitioner, RoundError

from .apps import ExampleApp

APP = ExampleApp("quickstart-pytorch", "pytorchexample")
EXCLUDED = ((1, 3, 7), (2, 5, 8), (4, 6, 9))
SHORT = {"num_server_rounds": 1, "local_epochs": 1}

pytestmark = pytest.mark.torch


def held(**settings: object) -> list[list[int]]:
    """The number of training images of each digit for each of three clients."""
    clients = (APP.client(partition_id, 3, **settings) for partition_id in range(3))
    return [np.bincount(client.trainloader.dataset.tensors[1].numpy(), minlength=10).tolist() for client in clients]


def train_alone(hospital: int, **settings: Any) -> float:
    """Train as in the federation but without averaging, and return the accuracy on all ten digits."""
    client, task = APP.client(hospital, 3, **settings), APP.module("task")
    net = task.Net(settings.get("data_dir", ""), seed=APP.config(**settings)["seed"])
    parameters = [tensor.numpy() for tensor in net.state_dict().values()]
    for server_round in range(1, int(APP.config(**settings)["num-server-rounds"]) + 1):
        parameters, _, _ = client.fit(parameters, {"server-round": server_round})
    return task.test(client.net, task.load_centralized_dataset(settings.get("data_dir", "")))[1]


def test_alone_a_hospital_recognises_two_thirds_of_the_images() -> None:
    assert 0.6 <= train_alone(0, num_server_rounds=2) <= 0.72


def test_no_hospital_gets_a_digit_that_it_excludes() -> None:
    for counts, excluded in zip(held(), EXCLUDED, strict=True):
        assert [digit for digit, count in enumerate(counts) if count == 0] == list(excluded)


def test_images_that_their_hospital_must_not_hold_are_dropped() -> None:
    # Three of ten digits in each hospital: about 1198 * 3/10 = 359 of the images.
    assert 300 < 1198 - np.sum(held()) < 420


def test_one_setting_selects_a_dirichlet_split() -> None:
    labels = APP.module("task").load_dataset("")[2]
    for alpha in (0.3, 30.0):
        expected = DirichletPartitioner(3, "label", alpha).assign(labels).label_counts.tolist()
        assert held(partitioner="dirichlet", alpha=alpha) == expected
    run = APP.run(5, partitioner="dirichlet", min_available_nodes=5, num_server_rounds=3)
    assert run.accuracy[3] >= 0.85


def test_a_client_reports_the_fingerprint_of_its_split() -> None:
    clients = [APP.client(partition_id, 3, seed=seed) for partition_id, seed in ((0, 1), (1, 1), (1, 2))]
    first, second, other = (client.assignment.fingerprint for client in clients)
    assert first == second != other


def test_a_client_is_tested_on_its_share_of_the_test_images() -> None:
    clients = [APP.client(partition_id, 3) for partition_id in range(3)]
    for client, excluded in zip(clients, EXCLUDED, strict=True):
        assert not np.isin(client.valloader.dataset.tensors[1], excluded).any()


@pytest.mark.long
def test_with_a_larger_alpha_feddyn_does_worse_than_fedavg() -> None:
    """The README says so, of an alpha of 0.1 instead of 0.01."""
    plain, fine, large = (
        APP.run(3, **settings).accuracy[5]
        for settings in ({}, {"strategy": "feddyn"}, {"strategy": "feddyn", "feddyn_alpha": 0.1})
    )
    assert APP.config()["feddyn-alpha"] == 0.01
    assert large < plain - 0.005
    assert large < fine


def test_each_round_has_a_different_order() -> None:
    client = APP.client(0, 3, local_epochs=1)
    start = [tensor.numpy().copy() for tensor in client.net.state_dict().values()]
    once, again, later = (client.fit(start, {"server-round": number})[0][0] for number in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, later)


def test_the_last_model_is_saved_for_pytorch(tmp_path: Path) -> None:
    import torch

    run = APP.run(3, **SHORT, model_file=str(tmp_path / "model.pt"))
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert list(state) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert all(np.array_equal(tensor, array) for tensor, array in zip(state.values(), run.parameters, strict=True))


@pytest.mark.parametrize(
    ("num_supernodes", "settings", "message"),
    [
        (4, {}, "num-supernodes must be 3, one for each hospital, got 4"),
        (3, {"partitioner": "iid"}, "partitioner must be 'three-hospitals' or 'dirichlet', got 'iid'"),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_it(
    num_supernodes: int, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(RoundError, match=message):
        APP.run(num_supernodes, **SHORT, **settings)


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_files_are_read_row_by_row(tmp_path: Path, zipped: bool) -> None:
    for part, count in (("train", 20), ("t10k", 10)):
        pixels = bytes(255 * (position % 2) for position in range(count * 784))
        for name, content in (
            (f"{part}-images-idx3-ubyte", struct.pack(">4I", 0x803, count, 28, 28) + pixels),
            (f"{part}-labels-idx1-ubyte", struct.pack(">2I", 0x801, count) + bytes(row % 10 for row in range(count))),
        ):
            path = tmp_path / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    images, test_images, labels, test_labels = APP.module("task").load_dataset(str(tmp_path))
    assert (images.shape, test_images.shape, images.dtype) == ((20, 784), (10, 784), np.float32)
    assert images[1, :3].tolist() == [-1, 1, -1]  # black is -1, white 1
    assert (labels.tolist(), test_labels.tolist()) == ([*range(10), *range(10)], [*range(10)])


def test_mnist_uses_the_published_settings() -> None:
    settings = tomllib.loads((APP.folder / "mnist.toml").read_text("utf-8"))
    published = {"num-server-rounds": 3, "local-epochs": 10, "learning-rate": 0.01, "momentum": 0.9, "batch-size": 64}
    assert settings == {**published, "partitioner": "three-hospitals", "data-dir": ""}


@pytest.mark.mnist
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_published_figures_hold_on_mnist(mnist_dir: Path, seed: int) -> None:
    # Published: alone .657, .688, .685; together .961 and .959 after round 3.
    settings = tomllib.loads((APP.folder / "mnist.toml").read_text("utf-8"))
    settings = {name.replace("-", "_"): value for name, value in settings.items()}
    settings |= {"data_dir": str(mnist_dir), "seed": seed}
    assert APP.run(3, **settings).accuracy[3] >= 0.955
    for hospital in range(3):
        assert 0.63 <= train_alone(hospital, **settings) <= 0.71
