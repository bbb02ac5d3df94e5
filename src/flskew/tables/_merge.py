"""The statistics of several sites as those of all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from flskew._util.texts import listed
from flskew.tables._columns import CATEGORICAL, EMPTY
from flskew.tables._statistics import Column, TableStatistics

__all__ = ["check_kinds", "merge"]


def check_kinds(sites: Mapping[int, TableStatistics]) -> dict[int, str]:
    """Return, for each site that disagrees with most others on a column, what it reports; empty if all agree.

    If two kinds are equally common, every site that reports one of them is listed.
    """
    names = Counter(frozenset(site.names) for site in sites.values()).most_common(1)[0][0]
    reasons = {}
    for site_id, site in sites.items():
        lacking, extra = sorted(names - set(site.names)), sorted(set(site.names) - names)
        if lacking:
            reasons[site_id] = (
                f"its table lacks {listed(lacking)}, which other sites have; pass columns=[...] to collect"
            )
        elif extra:
            reasons[site_id] = f"its table has {listed(extra)}, which other sites lack; pass columns=[...] to collect"
    if reasons:
        return reasons
    for name in sorted(names):
        kinds = {site_id: site[name].kind for site_id, site in sites.items() if site[name].kind != EMPTY}
        sizes = Counter(kinds.values())
        for site_id, kind in kinds.items():
            # There are two kinds beside "empty".
            other = next((found for found in sizes if found != kind), kind)
            if sizes[kind] <= sizes[other] and kind != other:
                plural = "s" if sizes[other] > 1 else ""
                reasons[site_id] = (
                    f"column {name!r} is {kind} here but {other} at {sizes[other]:,} other site{plural}; "
                    "convert it before the query"
                )
    return reasons


def merge(sites: Sequence[TableStatistics]) -> TableStatistics:
    """Return the statistics of all sites, which agree on columns and kinds."""
    columns = tuple(_merge([site[name] for site in sites]) for name in sites[0].names)
    return TableStatistics(sum(site.num_rows for site in sites), columns)


def _merge(parts: Sequence[Column]) -> Column:
    kind = next((part.kind for part in parts if part.kind != EMPTY), EMPTY)
    count, missing, withheld = (
        sum(getattr(part, field) for part in parts) for field in ("count", "missing", "withheld")
    )
    if kind == CATEGORICAL:
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(dict(part.categories))
        return Column(parts[0].name, kind, count, missing, withheld, categories=tuple(sorted(counts.items())))
    mean = m2 = 0.0
    seen = 0
    # Sorted, because node ids are random on some engines, and sums depend on the order in the last digit.
    for part in sorted(parts, key=lambda part: (part.mean, part.m2, part.count)):
        if part.count:
            seen += part.count
            delta = part.mean - mean if seen > part.count else 0.0
            # Exact for the first part; Chan's update afterwards.
            mean = part.mean if seen == part.count else mean + delta * (part.count / seen)
            m2 += part.m2 + delta * delta * ((seen - part.count) * (part.count / seen))
    return Column(parts[0].name, kind, count, missing, withheld, mean, m2)
