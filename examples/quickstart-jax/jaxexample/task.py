"""The model, the data, and how a client trains and tests."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flwr.app import Context
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flskew import DirichletPartitioner
from flskew.client import partition
from flskew.client.jax import LocalTerm

Images: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]
Params: TypeAlias = Any
"""A pytree of arrays, as returned by flax."""


class Net(nn.Module):
    """A perceptron with 64 hidden units."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Return (num_images, 10) logits."""
        return nn.Dense(10)(nn.relu(nn.Dense(64)(images)))


def create_params(seed: int = 0) -> Params:
    """Draw the weights of a new model."""
    return Net().init(jax.random.key(seed), jnp.zeros((1, 8 * 8)))


def load_data(context: Context) -> tuple[Images, Labels, Images, Labels]:
    """Return this client's training images with their labels, and its share of the test images with theirs."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(images, digits.target, stratify=digits.target, random_state=0)

    partition_id, num_partitions = partition(context)
    alpha, seed = float(context.run_config["alpha"]), int(context.run_config["seed"])
    assignment = DirichletPartitioner(num_partitions, "label", alpha, seed=seed).assign(y_train)
    rows, test_rows = assignment[partition_id], assignment.match(y_test)[partition_id]
    return x_train[rows], y_train[rows], x_test[test_rows], y_test[test_rows]


def loss_fn(params: Params, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the mean cross-entropy and the accuracy."""
    log_odds = jax.nn.log_softmax(Net().apply(params, images))
    loss = -jnp.take_along_axis(log_odds, labels[:, None], axis=1).mean()
    return loss, (log_odds.argmax(axis=1) == labels).mean()


@lru_cache(maxsize=1)
def sgd(learning_rate: float) -> optax.GradientTransformation:
    """Return the optimizer that all clients in this process share, so that the step is compiled only once."""
    return optax.sgd(learning_rate)


@partial(jax.jit, static_argnames="update")
def train_step(
    update: Any, params: Params, state: Any, images: jax.Array, labels: jax.Array
) -> tuple[Params, Any, jax.Array]:
    """Return the parameters and the optimizer's state after one step, and the loss before it."""
    (loss, _), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params, images, labels)
    updates, state = update(gradients, state, params)
    return optax.apply_updates(params, updates), state, loss


def train(
    params: Params, term: LocalTerm, images: Images, labels: Labels, config: dict[str, Any], server_round: int
) -> tuple[Params, float]:
    """Train in an order drawn for this round; return the new parameters and the mean loss."""
    rng = np.random.default_rng((int(config["seed"]), server_round))
    batch_size = min(int(config["batch-size"]), len(labels))
    optimizer = term.attach(sgd(float(config["learning-rate"])))
    state, losses = optimizer.init(params), []
    for _ in range(int(config["local-epochs"])):
        # Drop the last, smaller batch: another shape would need another compilation.
        batches = rng.permutation(len(labels))[: len(labels) // batch_size * batch_size].reshape(-1, batch_size)
        for batch in batches:
            params, state, loss = train_step(optimizer.update, params, state, images[batch], labels[batch])
            losses.append(loss)
    term.collect(state)
    return params, float(np.mean(losses))


def evaluate(params: Params, images: Images, labels: Labels) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    loss, accuracy = loss_fn(params, jnp.asarray(images), jnp.asarray(labels))
    return float(loss), float(accuracy)
