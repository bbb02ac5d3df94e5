"""Which partition each node holds, as its replies report it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from flskew.strategies.history import Failure, Reply, Round

__all__ = ["UNKNOWN_SITE", "Site", "names_of", "site_of", "sites_of"]

Site: TypeAlias = tuple[int | None, str | None]
"""Number and name of a partition; None if unknown."""

UNKNOWN_SITE: Site = (None, None)


class _HoldsPartition(Protocol):
    @property
    def partition_id(self) -> int | None: ...
    @property
    def name(self) -> str | None: ...


def site_of(reply: _HoldsPartition) -> Site:
    """Return what a reply or a failure says about its partition."""
    return reply.partition_id, reply.name


def sites_of(entries: Iterable[Round]) -> dict[int, Site]:
    """Return the partition of each node, by its latest reply, or its latest failure if that knows more."""
    sites: dict[int, Site] = {}
    for entry in entries:
        answers: list[Reply | Failure] = [*entry.replies, *entry.failures]
        for answer in answers:
            if site_of(answer) != UNKNOWN_SITE:
                sites[answer.node_id] = site_of(answer)
    return sites


def names_of(sites: Mapping[int, Site]) -> dict[int, str]:
    """Return the name of each node that has one."""
    return {node_id: name for node_id, (_, name) in sites.items() if name is not None}
