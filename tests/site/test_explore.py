"""The page to play with, in a browser: what it shows follows the controls, and is what Python computes."""

from __future__ import annotations

import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flskew import LabelExclusionPartitioner, skew

pytestmark = pytest.mark.site

DESK, PHONE = 1280, 360
LOOKS = pytest.mark.parametrize(
    ("width", "palette"),
    [
        pytest.param(width, palette, id=f"{screen}-{look}")
        for width, screen in ((DESK, "desk"), (PHONE, "phone"))
        for palette, look in (("default", "light"), ("slate", "dark"))
    ],
)
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"
MEASURES = ("total_variation", "jensen_shannon", "missing_classes", "effective_classes", "effective_clients", "gini")
# One setting of every scheme, and what its control is set to next.
CONTROLS = [
    ("scheme=iid&clients=10", "clients", "4"),
    ("scheme=dirichlet&clients=10&alpha=0.3", "alpha", "6"),
    ("scheme=dirichlet&clients=10&alpha=0.3", "clients", "11"),
    ("scheme=pathological&clients=10&held=2", "held", "4"),
    ("scheme=extended&clients=10&held=2&alpha=0.3", "held", "2"),
    ("scheme=extended&clients=10&held=2&alpha=0.3", "alpha", "24"),
    ("scheme=shards&clients=10&shards=1", "shards", "3"),
    ("scheme=inner&clients=10&alpha=0.3", "alpha", "20"),
    ("scheme=quantity&clients=10&alpha=0.3", "alpha", "0"),
    ("scheme=mixture&clients=10&iid=0.5", "iid", "9"),
    ("scheme=exclusion&clients=3&excluded=137.258.469", "clients", "3"),
]
SHOWN = """
const part = name => document.querySelector(`[data-explore=${name}]`);
const rows = [...document.querySelectorAll('.explore-picture .classes')];
const dot = cell => cell.querySelector('i').style.getPropertyValue('--part');
return {
  counts: rows.map(row => [...row.querySelectorAll('td span')].map(span => Number(span.textContent))),
  dots: rows.map(row => [...row.querySelectorAll('td')].map(dot)),
  sizes: [...document.querySelectorAll('.explore-picture .sizes td')].map(td => td.textContent),
  measures: [...document.querySelectorAll('.explore-measures output')].map(output => output.textContent),
  code: part('code').textContent,
  script: part('script').textContent,
  summary: part('summary').textContent,
  hash: location.hash,
}
"""
# Sets a control as a user does: the value, then the event.
SET = """
const control = document.querySelector('[data-explore=%s]');
control.value = %s;
control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true }));
"""
# The lowest contrast of visible text (WCAG 2.2), and where it is. The background of a number in a dot is the dot.
CONTRAST = """
const parse = color => {
  const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], [R, G, B]) => [[r, R], [g, G], [b, B]].map(([x, X]) => a * x + (1 - a) * X);
const behind = element => {
  if (element === null) return [255, 255, 255];
  const dot = element.matches('.classes td span') && element.parentElement.querySelector('i');
  const color = parse(getComputedStyle(dot || element).backgroundColor);
  return color[3] === 1 ? color.slice(0, 3) : over(color, behind(element.parentElement));
};
const luminance = rgb => rgb.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
  .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
let lowest = [Infinity, ''];
const texts = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  const [node, style] = [texts.currentNode.textContent.trim(), getComputedStyle(element)];
  if (!node || !element.closest('.explore, .explore-presets') || !element.checkVisibility()) continue;
  if (style.clipPath !== 'none' || element.closest('option, script, noscript')) continue;
  if (element.closest('.none')) continue;
  const background = behind(element);
  const [x, y] = [luminance(over(parse(style.color), background)), luminance(background)].sort((a, b) => b - a);
  const contrast = (x + 0.05) / (y + 0.05);
  if (contrast < lowest[0]) lowest = [contrast, `${element.tagName}.${element.className}: ${node}`];
}
return lowest;
"""


@pytest.fixture
def opened(browser, address: str) -> Callable[..., None]:
    def opened(setting: str = "", width: int = DESK, palette: str = "default") -> None:
        browser("POST", "/url", url="about:blank")  # or another hash would only be a jump within the page
        browser.open(f"{address}/explore/#{setting}", width)
        browser.wait("return document.querySelectorAll('.explore-picture td').length")
        browser.run(f"document.body.setAttribute('data-md-color-scheme', '{palette}')")
        browser.wait("return document.getAnimations().length === 0")
        browser.console()

    return opened


def press(browser, *keys: str) -> None:
    pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
    browser("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": pressed}])


def settle(browser, hash: str) -> None:
    browser.wait(f"return location.hash === {json.dumps(hash)}")


def run_script(text: str) -> list[list[int]]:
    """Run the code of the page; return the counts of classes by client, as the page shows them."""
    names: dict[str, Any] = {}
    exec(text, names)
    counts: list[list[int]] = names["split"].label_counts.T.tolist()
    return counts


@LOOKS
def test_dots_sizes_measures_code_and_summary_follow_each_control(browser, opened, width: int, palette: str) -> None:
    opened("", width, palette)
    for setting, control, value in CONTROLS:
        where = f"{control} in {setting}"
        browser.run(f"location.hash = '{setting}'")
        browser.wait(
            "return document.querySelector('[data-explore=scheme]').value === "
            f"{json.dumps(setting.split('&')[0].partition('=')[2])}"
        )
        before = browser.run(SHOWN)
        browser.run(SET % (control, value))
        after = browser.run(SHOWN)
        for name in ("counts", "dots", "measures", "code", "script", "summary"):
            assert before[name] != after[name], f"{name} with {where}"
        assert after["sizes"] == [f"{size:,}" for size in map(sum, zip(*after["counts"], strict=True))], where
        browser.wait(f"return location.hash !== '#{setting}'")
        assert browser.run("return document.documentElement.scrollWidth - window.innerWidth") <= 0, where
    assert browser.console() == []


def test_a_scheme_shows_its_own_controls(browser, opened) -> None:
    opened()
    visible = """
    return [...document.querySelectorAll('.explore-controls [data-explore$=-field]')]
      .filter(field => field.checkVisibility()).map(field => field.dataset.explore.replace('-field', ''))
    """
    found = {}
    for scheme in browser.run("return Object.keys(flskewExplore.SCHEMES)"):
        browser.run(SET % ("scheme", json.dumps(scheme)))
        found[scheme] = browser.run(visible)
    assert found == {
        "iid": ["clients"],
        "dirichlet": ["clients", "alpha"],
        "exclusion": ["clients"],
        "pathological": ["clients", "held"],
        "extended": ["clients", "held", "alpha"],
        "shards": ["clients", "shards"],
        "inner": ["clients", "alpha"],
        "quantity": ["clients", "alpha"],
        "mixture": ["clients", "iid"],
    }


@LOOKS
def test_all_text_contrasts_with_its_background(browser, opened, width: int, palette: str) -> None:
    for setting in ("scheme=extended&clients=5&held=3", "scheme=exclusion&clients=10", "scheme=iid&clients=10"):
        opened(setting, width, palette)
        browser.run("document.querySelector('[data-explore=whole]').open = true")
        contrast, where = browser.run(CONTRAST)
        assert contrast >= 4.5, where


def test_the_area_of_a_dot_is_proportional_to_its_rows(browser, opened) -> None:
    opened("scheme=pathological&clients=2&held=10")
    equal = browser.run(SHOWN)
    assert {*itertools.chain(*equal["counts"])} == {300}
    opened("scheme=exclusion&clients=3&excluded=0.0.")
    browser.wait("return document.getAnimations().length === 0")
    sides = browser.run("""
    return [...document.querySelectorAll('.explore-picture .classes i')].map(dot => dot.getBoundingClientRect().width)
    """)
    # Client 2 has all 600 rows of class 0; each has 200 of the others.
    assert sides[0] == sides[1] == 0
    assert sides[3] / sides[2] == pytest.approx(math.sqrt(200 / 600), rel=0.01)


def test_a_dot_with_a_number_is_larger_than_any_without(browser, opened) -> None:
    """84 is narrower than 140, but a reader would wonder what is special about it."""
    opened("scheme=dirichlet&clients=10&alpha=0.3")
    cells = browser.run("""
    return [...document.querySelectorAll('.explore-picture .classes td')]
      .map(td => [Number(td.textContent), td.classList.contains('small')])
    """)
    assert min(count for count, small in cells if not small) > max(count for count, small in cells if small) > 0


def test_every_frame_and_its_measures_are_those_of_python(browser, opened) -> None:
    opened()
    found = browser.run("""
    const { DATA, unpack, measures } = flskewExplore;
    return Object.entries(DATA.frames).map(([code, text]) => [code, unpack(text), measures(unpack(text))]);
    """)
    sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
    import explore_frames

    assert [code for code, _, _ in found] == [*explore_frames.codes()]
    for code, counts, measures in found:
        assert counts == explore_frames.counts(code).tolist(), code
        assert_measures(measures, np.array(counts), code)


def test_label_exclusion_has_the_counts_of_python_for_1000_settings(browser, opened) -> None:
    opened()
    rng = random.Random(0)
    labels = np.repeat(np.arange(10), 600)
    settings = []
    while len(settings) < 1000:
        excluded = [sorted(rng.sample(range(10), rng.randrange(10))) for _ in range(rng.randrange(1, 51))]
        if not set(range(10)).intersection(*excluded):
            settings.append(excluded)
    found = browser.run(f"""
    const {{ allocate, measures }} = flskewExplore;
    return {json.dumps(settings)}.map(excluded => allocate(excluded)).map(counts => [counts, measures(counts)]);
    """)
    for excluded, (counts, measures) in zip(settings, found, strict=True):
        wanted = LabelExclusionPartitioner(excluded, seed=42).assign(labels).label_counts
        assert counts == wanted.tolist(), excluded
        assert_measures(measures, wanted, str(excluded))


def assert_measures(found: dict[str, list[float]], counts: np.ndarray, where: str) -> None:
    assert {*found} == {*MEASURES}
    for name, (value, *_) in found.items():
        wanted = skew.MEASURES[name](counts)
        # A root makes a rounding error of 1e-16 one of 1e-8.
        assert value == pytest.approx(wanted, abs=1e-9 if name != "jensen_shannon" or wanted > 1e-7 else 1e-7), where


def test_the_bars_reach_from_no_skew_to_full_skew_as_in_a_report(browser, opened) -> None:
    opened()
    tables = [[[30, 0], [10, 20]], [[5, 5, 0], [0, 5, 5], [0, 0, 9]], [[6, 6], [0, 0], [1, 3]]]
    found = browser.run(f"return {json.dumps(tables)}.map(flskewExplore.measures)")
    for table, measures in zip(tables, found, strict=True):
        lines = str(skew.report(np.array(table))).split("\n\n")[1].splitlines()[1:]
        report = {name: ends for name, _, *ends in map(str.split, lines)}
        for name, (_, *ends) in measures.items():
            assert [f"{end:.3g}" for end in ends] == report[name]


def test_the_code_makes_the_counts_that_are_shown(browser, opened) -> None:
    opened()
    rng = random.Random(1)
    stops = {"clients": 12, "alpha": 25, "held": 10, "shards": 5, "iid": 11}
    for scheme in browser.run("return Object.keys(flskewExplore.SCHEMES)"):
        browser.run(SET % ("scheme", json.dumps(scheme)))
        for _ in range(6):
            for control, count in stops.items():
                browser.run(f"""
                const slider = document.querySelector('[data-explore={control}]');
                if (!slider.checkVisibility()) return;
                slider.value = Math.min({rng.randrange(count)}, slider.max);
                slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
                """)
            shown = browser.run(SHOWN)
            assert run_script(shown["script"]) == shown["counts"], shown["code"]
            assert shown["script"].endswith(shown["code"])


def test_the_code_is_formatted_for_80_columns(browser, opened, tmp_path: Path) -> None:
    opened()
    scripts = browser.run("""
    const { DATA, SCHEMES, allowed, clientStops, scriptOf } = flskewExplore;
    const scripts = [];
    for (const [scheme, { controls }] of Object.entries(SCHEMES)) {
      for (const clients of clientStops(scheme)) {
        for (const excluded of [[], [[], [0, 1, 2, 3, 4, 5, 6, 7, 8]]]) {
          scripts.push(scriptOf(allowed({ scheme, clients, alpha: 0.015, held: 5, shards: 5, iid: 0.3, excluded })));
        }
      }
    }
    return scripts;
    """)
    for number, script in enumerate(scripts):
        (tmp_path / f"script{number}.py").write_text(f"{script}\n", "utf-8")
    command = [sys.executable, "-m", "ruff", "format", "--diff", "--no-cache", "--isolated", "--line-length", "80"]
    formatted = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert formatted.stdout == ""
    assert all(len(line) <= 80 for script in scripts for line in script.splitlines())


def test_a_click_excludes_a_class_and_another_gives_it_back(browser, opened) -> None:
    opened("scheme=exclusion&clients=2&excluded=.")
    cell = "[data-client='1'][data-code='3'] button"
    assert browser.run(SHOWN)["counts"][3] == [300, 300]
    click(browser, cell)
    shown = browser.run(SHOWN)
    assert shown["counts"][3] == [600, 0]
    assert shown["code"].startswith("excluded = [set(), {3}]\n")
    assert browser.run(f'return document.querySelector("{cell}").getAttribute("aria-pressed")') == "true"
    settle(browser, "#scheme=exclusion&clients=2&excluded=.3")
    click(browser, cell)
    assert browser.run(SHOWN)["counts"][3] == [300, 300]


def click(browser, selector: str) -> None:
    element = browser("POST", "/element", using="css selector", value=selector)
    browser("POST", f"/element/{next(iter(element.values()))}/click")


def test_a_class_is_not_excluded_everywhere_and_the_page_says_why(browser, opened) -> None:
    opened("scheme=exclusion&clients=2&excluded=12345678.3")
    for cell, reason in (
        ("[data-client='1'][data-code='1'] button", "Client 1 is the last with class 1"),
        ("[data-client='0'][data-code='0'] button", ""),
        ("[data-client='0'][data-code='9'] button", ""),
        ("[data-client='0'][data-code='3'] button", "Client 0 needs at least one class"),
    ):
        click(browser, cell)
        shown = browser.run(SHOWN)
        assert shown["summary"].startswith(reason)
        assert run_script(shown["script"]) == shown["counts"]
    # Neither had class 3 in the address, so the page gave it to client 0.
    assert shown["code"].startswith("excluded = [{0, 1, 2, 4, 5, 6, 7, 8, 9}, {3}]")


def test_the_keyboard_moves_sliders_and_cells(browser, opened) -> None:
    opened("scheme=dirichlet&clients=10&alpha=0.3")
    browser.run("document.querySelector('#explore-alpha').focus()")
    press(browser, LEFT, LEFT, LEFT)
    assert "alpha=0.1," in browser.run(SHOWN)["code"]
    assert browser.run("return document.querySelector('#explore-alpha').getAttribute('aria-valuetext')") == "0.1"
    opened("scheme=exclusion&clients=3&excluded=..")
    # One stop of the Tab key for all cells, which the arrow keys reach.
    assert browser.run("return document.querySelectorAll('.explore-picture button[tabindex=\"0\"]').length") == 1
    browser.run("document.querySelector('.explore-picture button').focus()")
    press(browser, RIGHT, DOWN, DOWN, " ")
    assert browser.run(SHOWN)["code"].startswith("excluded = [set(), {2}, set()]")
    press(browser, UP, LEFT, " ")
    assert browser.run(SHOWN)["code"].startswith("excluded = [{1}, {2}, set()]")
    assert browser.run("return document.querySelectorAll('.explore-picture button[tabindex=\"0\"]').length") == 1


def test_on_a_phone_cells_are_large_enough_for_a_finger(browser, opened) -> None:
    opened("scheme=exclusion&clients=10", PHONE)
    sides = browser.run("""
    return [...document.querySelectorAll('.explore-picture button')]
      .map(button => button.getBoundingClientRect()).flatMap(box => [box.width, box.height]);
    """)
    assert min(sides) >= 24


def test_every_control_has_a_label_and_the_picture_says_its_counts(browser, opened) -> None:
    opened("scheme=extended&clients=3&held=2&alpha=1")
    unlabelled = (
        "return [...document.querySelectorAll('.explore :is(input, select)')].filter(e => !e.labels.length).length"
    )
    assert browser.run(unlabelled) == 0
    table = browser.run("return document.querySelector('.explore-picture').innerText").split()
    assert "class" in table
    assert {"0", "client"} <= {*table}


def test_the_summary_is_announced_once_a_slider_rests(browser, opened) -> None:
    opened()
    status = "return document.querySelector('[data-explore=status]').textContent"
    assert browser.run(SET % ("alpha", "0") + status) == ""
    said = browser.wait("return document.querySelector('[role=status]').textContent")
    assert said == browser.run(SHOWN)["summary"]
    assert said.startswith("10 clients have ")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        pytest.param("scheme=pathological&clients=20&held=7", "scheme=pathological&clients=20&held=7", id="as is"),
        pytest.param("scheme=magic&clients=7&alpha=2.6", "scheme=dirichlet&clients=6&alpha=3", id="nearest"),
        pytest.param("scheme=exclusion&clients=50", "scheme=exclusion&clients=10", id="fewer"),
        pytest.param("scheme=exclusion&clients=2&excluded=0.0", "scheme=exclusion&clients=2&excluded=.0", id="orphan"),
        pytest.param("scheme=dirichlet&clients=x&alpha=-1", "scheme=dirichlet&clients=10&alpha=0.01", id="nonsense"),
        pytest.param("scheme=dirichlet&clients=1e99&alpha=1e99", "scheme=dirichlet&clients=50&alpha=100", id="huge"),
        pytest.param("scheme=<img src=x>&clients=3", "scheme=dirichlet&clients=3&alpha=0.3", id="markup"),
    ],
)
def test_the_address_restores_a_setting_or_the_nearest_that_exists(browser, opened, asked: str, shown: str) -> None:
    opened(asked)
    restored = browser.run(
        "const { allowed, hashOf, stateOf } = flskewExplore; return hashOf(allowed(stateOf(location.hash)))"
    )
    assert restored.startswith(f"#{shown}")
    code = browser.run(SHOWN)["code"]
    opened(restored.removeprefix("#"))
    assert browser.run(SHOWN)["code"] == code
    assert browser.console() == []


def test_a_preset_is_a_link_that_the_back_button_undoes(browser, opened) -> None:
    opened("scheme=iid&clients=10")
    presets = browser.run("return document.querySelectorAll('.explore-presets a').length")
    codes = set()
    for number in range(1, presets + 1):
        click(browser, f".explore-presets a:nth-child({number})")
        browser.wait(f"return document.querySelector('.explore-presets a:nth-child({number})[aria-current]')")
        codes.add(browser.run(SHOWN)["code"])
    assert len(codes) == presets >= 4
    last = browser.run(SHOWN)["code"]
    browser("POST", "/back")
    browser.wait(f"return document.querySelector('[data-explore=code]').textContent !== {json.dumps(last)}")


def test_the_back_button_leads_to_the_start_but_not_away_from_a_setting(browser, opened) -> None:
    browser("POST", "/url", url="about:blank")
    opened()
    first = browser.run(SHOWN)["code"]
    click(browser, ".explore-presets a")
    browser.wait(f"return document.querySelector('[data-explore=code]').textContent !== {json.dumps(first)}")
    chosen = browser.run(SHOWN)["code"]
    browser.run("location.hash = 'in-a-notebook'")
    settle(browser, "#in-a-notebook")
    assert browser.run(SHOWN)["code"] == chosen
    browser("POST", "/back")
    browser("POST", "/back")
    browser.wait(f"return document.querySelector('[data-explore=code]').textContent === {json.dumps(first)}")


def test_dots_and_bars_are_visible_in_high_contrast(browser, opened) -> None:
    opened("scheme=dirichlet&clients=3&alpha=1")
    forced = {"features": [{"name": "forced-colors", "value": "active"}]}
    browser("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params=forced)
    try:
        colors = browser.run("""
        const canvas = document.body.appendChild(document.createElement('b'));
        canvas.style.background = 'Canvas';
        const color = element => getComputedStyle(element).backgroundColor;
        const cells = ['.classes td:not(.none) i', '.sizes i', '.bar i'];
        return [canvas, ...cells.map(cell => document.querySelector(`.explore ${cell}`))].map(color);
        """)
        number = "document.querySelector('.explore-picture .classes td:not(.none, .small) span')"
        assert browser.run(f"return getComputedStyle({number}).color") == colors[0]
    finally:
        browser("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": []})
    assert colors[0] not in colors[1:]


@pytest.mark.parametrize(("button", "part"), [("copy-line", "code"), ("copy-all", "script")])
def test_a_button_copies_the_code(browser, opened, button: str, part: str) -> None:
    opened("scheme=exclusion&clients=3")
    for name in ("clipboard-read", "clipboard-write"):
        browser("POST", "/permissions", descriptor={"name": name}, state="granted")
    click(browser, f"[data-explore={button}]")
    assert browser.wait("return document.querySelector('[data-explore=copied]').textContent") == "Copied."
    copied = browser("POST", "/execute/async", script="navigator.clipboard.readText().then(arguments[0])", args=[])
    assert copied.strip() == browser.run(SHOWN)[part]


def test_without_a_clipboard_the_code_is_selected(browser, opened) -> None:
    opened()
    browser.run("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    click(browser, "[data-explore=copy-line]")
    assert "Ctrl+C" in browser.wait("return document.querySelector('[data-explore=copied]').textContent")
    assert browser.run("return getSelection().toString()").strip() == browser.run(SHOWN)["code"]


def test_dots_do_not_move_if_the_system_reduces_motion(browser, opened) -> None:
    motion = "return getComputedStyle(document.querySelector('.explore-picture .classes i')).transitionDuration"
    opened()
    assert browser.run(motion) != "0s"
    reduced = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    browser("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params=reduced)
    assert browser.run(motion) == "0s"
    browser("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": []})


def test_the_page_works_from_a_folder_without_a_server(browser, built: Path) -> None:
    browser.open((built / "explore" / "index.html").as_uri() + "#scheme=iid&clients=2", DESK)
    browser.wait("return document.querySelectorAll('.explore-picture td').length")
    browser.run(SET % ("clients", "1"))
    shown = browser.run(SHOWN)
    assert run_script(shown["script"]) == shown["counts"]
    settle(browser, "#scheme=iid&clients=3")


def test_links_lead_to_sections_that_exist(browser, opened, built: Path) -> None:
    opened()
    sections = browser.run("return Object.values(flskewExplore.SCHEMES).map(scheme => scheme.section)")
    page = (built / "which-partitioner" / "index.html").read_text("utf-8")
    assert all(f'id="{section}"' in page for section in sections)
    assert 'id="what-the-measures-mean"' in (built / "skew" / "index.html").read_text("utf-8")
