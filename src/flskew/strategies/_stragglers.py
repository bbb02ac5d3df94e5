"""Find the clients that did less local work than requested.

Tian Li, Anit Kumar Sahu, Manzil Zaheer, Maziar Sanjabi, Ameet Talwalkar and Virginia Smith. Federated Optimization in
Heterogeneous Networks. Proceedings of Machine Learning and Systems 2 (MLSys 2020), pages 429 to 450. arXiv 1812.06127.
There, FedAvg drops the devices that do not finish their epochs within a round, and FedProx uses their partial work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from flwr.app import ConfigRecord

from flskew._wire import LOCAL_EPOCHS_KEY
from flskew.strategies._judgement import Judgement

__all__ = ["asked_epochs", "without_stragglers"]


def asked_epochs(config: Mapping[str, object]) -> float:
    """Return how many local epochs a config requests.

    Raises:
        ValueError: It is not one finite number > 0.
    """
    asked = config.get(LOCAL_EPOCHS_KEY)
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not 0 < asked < math.inf:
        raise ValueError(
            f"drop_stragglers=True needs a number > 0 under {LOCAL_EPOCHS_KEY!r} in train_config, to compare "
            f"with what clients report, got {asked!r}; add it"
        )
    return asked


def without_stragglers(judgement: Judgement, configrecord_key: str) -> Judgement:
    """Drop the replies that report fewer local epochs than their message requested.

    A reply without "local-epochs" counts as complete. A reply whose value is not a number, or whose message is unknown,
    is dropped too: it may come from a straggler.
    """
    reasons = {}
    for place, reply in judgement.counted.items():
        if LOCAL_EPOCHS_KEY in reply.metrics:
            reason = _reason(reply.metrics[LOCAL_EPOCHS_KEY], _asked(judgement, place, configrecord_key))
            if reason is not None:
                reasons[place] = reason
    return judgement.without(reasons)


def _asked(judgement: Judgement, place: int, configrecord_key: str) -> float | None:
    messages = judgement.sent.messages
    config = messages[place].content.get(configrecord_key) if place < len(messages) else None
    try:
        return asked_epochs(config if isinstance(config, ConfigRecord) else {})
    except ValueError:
        return None


def _reason(done: object, asked: float | None) -> str | None:
    if not isinstance(done, int | float) or not 0 <= done < math.inf:
        return f"{LOCAL_EPOCHS_KEY} = {done!r}; it must be one finite number >= 0"
    if asked is None:
        return f"it reports {done:.12g} local epochs, but the requested number is unknown"
    # Ten steps of 0.1 must equal 1.0.
    if done >= asked or math.isclose(done, asked, rel_tol=1e-9):
        return None
    return f"straggler: {done:.12g} of {asked:.12g} local epochs"
