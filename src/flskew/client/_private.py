"""Private arrays, which never leave a client: the normalisation layers of FedBN, the head of FedPer.

Xiaoxiao Li, Meirui Jiang, Xiaofei Zhang, Michael Kamp and Qi Dou. FedBN: Federated Learning on Non-IID Features via
Local Batch Normalization. International Conference on Learning Representations (ICLR 2021). arXiv 2102.07623.
Manoj Ghuhan Arivazhagan, Vinay Aggarwal, Aaditya Kumar Singh and Sunav Choudhary. Federated Learning with
Personalization Layers. arXiv 1912.00818 (2019).

Both average all arrays except those of certain layers, which every client trains for itself. Here the private arrays
live in the state of the client's node, and a reply carries for each one exactly what was received. A strategy therefore
sees replies like any others: arrays with the names, shapes and dtypes that it sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from flwr.app import Array, ArrayRecord, RecordDict

from flskew._arrays.records import all_finite, array_from_numpy, numpy_from_array
from flskew._util.texts import listed
from flskew.client._model import in_dtype_of
from flskew.client._protocols import ClientError
from flskew.client._shown import shown
from flskew.typing import Config

__all__ = ["checked_patterns", "is_private", "keep_private", "private_names", "with_private", "without_local"]

_STATE_KEY = "flskew-private"
_PLACEHOLDER = (0,)


def without_local(arrays: ArrayRecord, keep_local: Sequence[str]) -> ArrayRecord:
    """Return a model to start from in which the arrays that stay on the clients are empty, so that they are not sent.

    An array that matches is replaced by a placeholder of shape (0,) with the same name and dtype. Clients made with
    `client_app(client_fn, keep_local=...)` and the same patterns start these arrays from what their own
    `get_parameters(config)` returns.

    Args:
        arrays: A full model; it is not changed.
        keep_local: The patterns given to `client_app`.

    Raises:
        TypeError: `keep_local` is not a list of patterns.
        ValueError: A pattern is empty or matches no array, or all arrays match.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import Array, ArrayRecord
        >>> from flskew import without_local
        >>> model = ArrayRecord(
        ...     {"body": Array(np.ones((4, 3))), "head": Array(np.ones((3, 2)))}
        ... )
        >>> {
        ...     name: array.shape
        ...     for name, array in without_local(model, ["head*"]).items()
        ... }
        {'body': (4, 3), 'head': (0,)}
    """
    patterns = checked_patterns(keep_local)
    private = _names(arrays, patterns, ValueError) if patterns else frozenset()
    model = ArrayRecord(dict(arrays))
    for name in private:
        model[name] = array_from_numpy(numpy_from_array(arrays[name], f"array {name!r}").reshape(-1)[:0])
    return model


def checked_patterns(keep_local: object) -> tuple[str, ...]:
    """Return the patterns.

    Raises:
        TypeError: It is not a list of texts.
        ValueError: One of them is empty.
    """
    if isinstance(keep_local, str):
        raise TypeError(f"keep_local must be a list of patterns, got the text {keep_local!r}; use [{keep_local!r}]")
    if not isinstance(keep_local, Sequence) or not all(isinstance(pattern, str) for pattern in keep_local):
        raise TypeError(
            f'keep_local must be a list of patterns, got {shown(keep_local)}; e.g. ["*bn*", "head.*"], or [] for none'
        )
    if "" in keep_local:
        raise ValueError('keep_local holds an empty pattern, which matches no array; remove it, or use e.g. "head.*"')
    return tuple(keep_local)


def is_private(names: Iterable[str], patterns: Sequence[str]) -> list[bool]:
    """Return for each array whether it stays on the client.

    Examples:
        >>> is_private(["conv.weight", "bn1.weight", "head.weight"], ["*bn*", "head.*"])
        [False, True, True]
    """
    return [any(fnmatchcase(name, pattern) for pattern in patterns) for name in names]


def private_names(arrays: ArrayRecord, patterns: Sequence[str]) -> frozenset[str]:
    """Return the names of the arrays that stay on the client."""
    if not patterns:
        return frozenset()
    return frozenset(name for name, stays in zip(arrays, is_private(arrays, patterns), strict=True) if stays)


def with_private(
    received: ArrayRecord, patterns: Sequence[str], client: object, config: Config, state: RecordDict
) -> ArrayRecord:
    """Return the model that a client trains or evaluates: the arrays received, and its own private ones.

    A private array comes from the state. Before there is one, it is the array received or, if that is a placeholder,
    the one that the client's `get_parameters(config)` returns.

    Args:
        received: The server's record.
        patterns: Which of its arrays are private; returned as it is if there are none.
        client: For its `get_parameters`.
        config: The server's config.
        state: The state of the node.

    Raises:
        ClientError: A pattern matches no array, or all arrays match; an array cannot be initialised, or does not have
            the shape of the one in the state; or an array is empty without being private.
        ParametersError: An array of `get_parameters` cannot be sent.
    """
    if not patterns:
        return received
    private, kept = _names(received, patterns, ClientError), _kept(state)
    own: Mapping[str, Array] = {}
    model = ArrayRecord()
    for name, array in received.items():
        is_empty = tuple(array.shape) == _PLACEHOLDER
        if name not in private:
            if is_empty:
                raise ClientError(
                    f"array {name!r} was received empty, but keep_local={list(patterns)} does not match it; use the "
                    "same patterns in client_app and in without_local"
                )
            model[name] = array
        elif name in kept:
            if not is_empty and tuple(array.shape) != tuple(kept[name].shape):
                raise ClientError(
                    f"array {name!r} was received with shape {tuple(array.shape)}, but this node keeps one of shape "
                    f"{tuple(kept[name].shape)}; start another model on a new grid"
                )
            model[name] = kept[name]
        elif is_empty:
            own = own or _initial(received, client, config, name)
            model[name] = in_dtype_of(array, own[name], name)
        else:
            model[name] = array
    return model


def keep_private(
    trained: ArrayRecord, received: ArrayRecord, patterns: Sequence[str], state: RecordDict
) -> ArrayRecord:
    """Move the private arrays of a trained model into the state; return the model with those received in their place.

    Args:
        trained: A model with the names received.
        received: The server's record.
        patterns: Which arrays are private.
        state: The state of the node.

    Raises:
        ClientError: A private array has NaN or infinity, which the server could not notice.
    """
    if not patterns:
        return trained
    private = _names(received, patterns, ClientError)
    for name in private:
        if not all_finite(numpy_from_array(trained[name])):
            raise ClientError(
                f"array {name!r}, which stays on this node, holds NaN or infinity; the client has diverged, lower its "
                "learning rate"
            )
    state[_STATE_KEY] = ArrayRecord({name: array for name, array in trained.items() if name in private})
    return ArrayRecord({name: received[name] if name in private else array for name, array in trained.items()})


def _names(arrays: ArrayRecord, patterns: Sequence[str], error: type[ValueError]) -> frozenset[str]:
    for pattern in patterns:
        if not any(is_private(arrays, [pattern])):
            raise error(f"keep_local={pattern!r} matches no array of the model; its arrays are {listed(arrays)}")
    private = private_names(arrays, patterns)
    if len(private) == len(arrays):
        raise error(
            f"keep_local={list(patterns)} matches all {len(arrays)} arrays of the model, so nothing would be trained "
            "together; leave at least one out"
        )
    return private


def _kept(state: RecordDict) -> ArrayRecord:
    kept = state.get(_STATE_KEY, ArrayRecord())
    if not isinstance(kept, ArrayRecord):
        raise ClientError(
            f"context.state[{_STATE_KEY!r}] is reserved for private arrays; store yours under another key"
        )
    return kept


def _initial(received: ArrayRecord, client: object, config: Config, name: str) -> Mapping[str, Array]:
    """Return the client's own initial model; `name` is the first array that needs it."""
    get_parameters = getattr(client, "get_parameters", None)
    arrays: object = get_parameters(dict(config)) if callable(get_parameters) else []
    # Flower's NumPyClient has a get_parameters that returns an empty list.
    if isinstance(arrays, Sequence) and not arrays:
        raise ClientError(
            f"array {name!r} was received empty, and this node has none yet; give {type(client).__name__} a method "
            "get_parameters(config) that returns all arrays of its initial model, or start the server from a full one"
        )
    if not isinstance(arrays, Sequence) or len(arrays) != len(received):
        raise ClientError(
            f"{type(client).__name__}.get_parameters must return a list of all {len(received)} arrays of the model, in "
            f"the order of the server's, got {shown(arrays)}"
        )
    return {key: array_from_numpy(array, f"array {key!r}") for key, array in zip(received, arrays, strict=True)}
