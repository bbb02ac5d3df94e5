"""The search box finds the page that newcomers need, by the words that they type."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.site

WIDTHS = pytest.mark.parametrize("width", [pytest.param(360, id="phone"), pytest.param(1280, id="desk")])
QUERY = "[data-md-component=search-query]"
# The pages found, best first.
ITEMS = "[...document.querySelectorAll('.md-search-result__item')]"
FOUND = f"{ITEMS}.map(item => new URL(item.querySelector('a').href).pathname.slice(1, -1))"

# What is typed, and the pages of which one must be among the first three.
EXPECTED = {
    "aggregation": ["glossary"],
    "benchmark": ["record", "benchmarks"],
    "byzantine": ["how-to/bad-clients"],
    "checkpoint": ["strategies"],
    "client drift": ["glossary"],
    "colab": ["simulation"],
    "concept shift": ["kinds"],
    "confidence interval": ["glossary", "study"],
    "covariate shift": ["kinds"],
    "cross-device": ["glossary"],
    "csv": ["how-to/your-data"],
    "deployment": ["deployment"],
    "differential privacy": ["how-to/mods"],
    "dirichlet": ["which-partitioner"],
    "does fedprox help": ["which-strategy", "glossary"],
    "fairness": ["how-to/fair-to-every-site"],
    "federated averaging": ["glossary"],
    "fedprox": ["strategies", "reproductions"],
    "getting started": ["start", "glossary"],
    "gpu": ["simulation"],
    "heterogeneity": ["kinds"],
    "heterogeneous": ["kinds"],
    "hospital": ["tutorial", "start/tables"],
    "huggingface": ["glossary"],
    "imbalanced classes": ["glossary"],
    "install": ["start", "glossary"],
    "jupyter": ["glossary"],
    "label skew": ["kinds", "skew"],
    "license": [""],
    "min_partition_size": ["which-partitioner", "reference/partitioners"],
    "missing classes": ["how-to/missing-classes"],
    "non-iid": ["kinds"],
    "noniid": ["glossary"],
    "notebook": ["simulation"],
    "partial participation": ["glossary"],
    "personalisation": ["glossary"],
    "personalization": ["how-to/keep-arrays-local"],
    "personalized": ["glossary"],
    "plot": ["reference/plots", "pictures"],
    "plots": ["pictures"],
    "privacy": ["glossary"],
    "progress bar": ["simulation"],
    "pytorch": ["how-to/torch-data", "frameworks"],
    "quickstart": ["examples"],
    "reproducible": ["glossary"],
    "resume": ["strategies"],
    "scaffold": ["strategies"],
    "seed": ["how-to/compare", "glossary"],
    "simulate without ray": ["simulation", "glossary"],
    "slow clients": ["glossary", "stragglers"],
    "split csv": ["how-to/your-data"],
    "straggler": ["stragglers"],
    "stragglers": ["stragglers"],
    "tutorial": ["tutorial"],
    "unbalanced": ["kinds"],
    "vertical": ["glossary"],
    "visualisation": ["glossary"],
    "visualization": ["glossary"],
}


@WIDTHS
def test_the_search_box_finds_what_newcomers_type(browser: Any, address: str, width: int) -> None:
    browser.open(f"{address}/", width)
    if width < 600:
        browser.run("document.querySelector('label[for=__search]').click()")
        browser.wait("return document.activeElement.matches('[data-md-component=search-query]')")
    missed = {}
    for words, pages in EXPECTED.items():
        empty = f"const box = document.querySelector('{QUERY}'); box.value = ''; box.dispatchEvent(new Event('keyup'))"
        browser.run(empty)
        browser.wait(f"return !{FOUND}.length")
        browser.type(QUERY, words)
        is_found = f"return {FOUND}.slice(0, 3).some(page => {json.dumps(pages)}.includes(page))"
        try:
            browser.wait(is_found, seconds=10)
            # While a word is typed, the results are those of its beginning.
            browser.wait(is_found, seconds=10)
        except AssertionError:
            missed[words] = browser.run(f"return {FOUND}")[:5]
    assert not missed
    assert browser.console() == []
