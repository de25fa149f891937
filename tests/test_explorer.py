"""The certificate explorer, a page that computes in the browser, agrees with the package to the digits that it shows.

The page is a second implementation. It runs here under Node.js and in headless Chromium, one process for all settings.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup
from scipy import stats

import hybrid_rs as hrs
from hybrid_rs.certificates.several_texts import certified_radius_texts, p_adv_texts
from hybrid_rs.decisions.sample_size import draws_needed

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "explorer.md"
STATIC = ROOT / "book" / "_static"
MATHEMATICS = [STATIC / "explorer" / f"{name}.js" for name in ("probability", "certificate", "numbers")]
DIGITS = 3
# The page certifies for a probability and a threshold that are worse by 1e-9, so that its rounding errors do not count.
# It must never show more than the package certifies, and no less than the package does for those worse by SLACK.
SLACK = 1e-7
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def in_node(program: str, folder: Path) -> str:
    """What a program prints."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed: put node on the path")
    script = folder / "program.js"
    script.write_text(f"{program}\nconsole.log(answer);", encoding="utf-8")
    return subprocess.run([node, script], capture_output=True, text=True, check=True, timeout=120).stdout


def opened(page: Path) -> str:
    """The page's document, once a browser has run its scripts."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: put chromium on the path")
    options = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={page.parent / 'profile'}"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # the sandbox does not work for root
    command = [CHROMIUM, *options, "--virtual-time-budget=60000", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def in_chromium(program: str, folder: Path) -> str:
    page = folder / "program.html"
    written = "document.body.textContent = answer;"
    page.write_text(f"<!doctype html><meta charset=utf-8><body><script>{program}\n{written}</script>", encoding="utf-8")
    return unescape(re.findall(r"<body>(.*)</body>", opened(page), re.DOTALL)[0])


ENGINES = {"node": in_node, "chromium": in_chromium}


def computed(engine: str, body: str, settings: list[dict], folder: Path) -> list:
    """What a function of one setting, given by its body, returns for each."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in MATHEMATICS)
    program = f"{sources}\nconst answer = JSON.stringify({json.dumps(settings)}.map((x) => {{ {body} }}));"
    return json.loads(ENGINES[engine](program, folder))


def kernel_of(x: dict) -> hrs.UniformKernel | hrs.AbsorbingKernel:
    return hrs.UniformKernel(x["beta"], x["vocab"]) if x["kernel"] == "uniform" else hrs.AbsorbingKernel(x["beta"])


def ratio_of(x: dict) -> hrs.LikelihoodRatio:
    return kernel_of(x).likelihood_ratio(x["d"], masked=x["evidence"] == "masked")


def worse(p: float) -> float:
    """A probability that is lower by SLACK of itself, or of its distance to 1, and two units in the last place."""
    return max(0.0, p * (1 - SLACK) if p < 0.5 else 1 - (1 - p) * (1 + SLACK) - 2.0**-52)


def better(p: float) -> float:
    """A probability that is larger by SLACK, as above."""
    return min(1.0, p * (1 + SLACK) if p < 0.5 else 1 - (1 - p) * (1 - SLACK) + 2.0**-52)


def a_setting(rng: np.random.Generator) -> dict:
    """One choice of all controls: somewhere, or at an extreme."""

    def one_of(*choices):
        return choices[rng.integers(len(choices))]

    vocab = one_of(2, 3, 376, 32_000, 200_000, int(10 ** rng.uniform(0.4, 5.3)))
    edge = 1 - 1 / vocab  # beyond it the adversary's own token shows more rarely than by chance
    spread = (0.25, 0.5, rng.random(), rng.random(), 10 ** rng.uniform(-3, 0))
    miss = 10 ** rng.uniform(-12, -0.05)
    n = int(10 ** rng.uniform(0, 7))
    few = min(n, int(10 ** rng.uniform(0, 4)))
    return {
        "kernel": one_of("uniform", "uniform", "absorbing"),
        "beta": one_of(*spread, *spread, *spread, 0.0, 1.0, edge, (1 + edge) / 2, 1e-12),
        "vocab": vocab,
        "sigma": one_of(0.5, 1.0, 10 ** rng.uniform(-2, 1), 0.0, 1e-9),
        "tau": one_of(4.6e-5, 0.05, 0.5, 10 ** rng.uniform(-12, -0.01), 1e-12, 0.99),
        "evidence": one_of("plain", "masked"),
        "p": one_of(1 - miss, 1 - miss, 1 - miss, rng.random(), 10 ** rng.uniform(-12, 0), 0.0, 1.0, 1 - 1e-12),
        "source": "known",
        "n": n,
        "misses": one_of(0, n, n - 1, few, few, int(n * rng.random())),
        "alpha": one_of(0.01, 0.05, 1e-6, 0.5, 10 ** rng.uniform(-6, -0.5)),
        "texts": 1,
        "alike": rng.random(),
        "d": one_of(0, 1, 2, 3, int(rng.integers(0, 9)), int(rng.integers(0, 21))),
        "epsilon": one_of(0.0, 0.5, 1.0, 10 ** rng.uniform(-9, 1)),
    }


@pytest.fixture(scope="module")
def settings() -> list[dict]:
    rng = np.random.default_rng(2026)
    return [a_setting(rng) for _ in range(1000)]


SHOWN = """
    const p = probabilities.probability(x.p);
    const ratio = certificate.likelihoodRatio(x, x.d, x.evidence === "masked");
    const s = x.epsilon === 0 ? 0 : x.epsilon / x.sigma;
    const needed = numbers.leastProbability(x, ratio, s);
    return {
      radius: numbers.radiusText(numbers.floored(numbers.radius(x, p, x.d, x.evidence === "masked"), 3)),
      unrounded: `${numbers.radius(x, p, x.d, x.evidence === "masked")}`,
      value: numbers.value(x, p, ratio, s),
      valueText: numbers.valueText(numbers.value(x, p, ratio, s)),
      least: needed,
      needed: needed && numbers.probabilityText(needed, true),
      draws: needed && numbers.drawsNeeded(needed, x.alpha),
      bound: probabilities.clopperPearson(x.n - x.misses, x.n, x.alpha),
      ceiling: probabilities.clopperPearson(x.n - x.misses, x.n, x.alpha, -probabilities.MARGIN),
    };
"""


@pytest.fixture(scope="module", params=ENGINES)
def shown(request, settings, tmp_path_factory) -> list[dict]:
    """What the page shows for each setting."""
    return computed(request.param, SHOWN, settings, tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def package(settings) -> list[dict]:
    """What the package says of each setting: pairs are for the data as they are, and for data worse by SLACK."""
    said = []
    for i, x in enumerate(settings):
        p, tau, ratio = [x["p"], worse(x["p"])], [x["tau"], x["tau"] * (1 + SLACK)], ratio_of(x)
        attack = {"epsilon": x["epsilon"], "ratio": ratio, "sigma": x["sigma"]}
        least = hrs.required_p_a(tau=tau, **attack)
        # counting the draws takes a while where there are many
        several = i % 20 == 0 and least[1] < 1 - 1e-4
        said.append(
            {
                "radius": hrs.certified_radius(p, ratio, sigma=x["sigma"], tau=tau),
                "value": hrs.p_adv(p, **attack),
                "least": least,
                "draws": [draws_needed(q, x["alpha"]) for q in (least[0], better(least[1]))] if several else None,
                "bound": float(hrs.clopper_pearson_lower(x["n"] - x["misses"], x["n"], x["alpha"])),
            }
        )
    return said


def number(text: str) -> float:
    return {"none": math.nan, "any": math.inf, "NaN": math.nan, "Infinity": math.inf}.get(text) or float(text)


def test_no_radius_is_shown_above_the_certified_one_and_none_is_lower_than_rounding_explains(shown, package):
    radii = np.array([said["radius"] for said in package])
    equal = 0
    for page, (radius, least) in zip(shown, radii, strict=True):
        seen = number(page["radius"])
        if math.isnan(radius):
            assert math.isnan(seen)
            continue
        assert not seen > radius
        assert not number(page["unrounded"]) > radius
        if not math.isnan(least):
            assert seen >= hrs.floored(least, DIGITS)
            assert number(page["unrounded"]) >= least
        equal += seen == hrs.floored(radius, DIGITS)
    some = radii[:, 0]
    assert np.sum(np.isfinite(some) & (some > 0)) > 300  # the settings are not all hopeless
    assert equal > 0.99 * np.sum(~np.isnan(some))


def test_the_value_under_attack(shown, package):
    for page, (value, least) in zip(shown, [said["value"] for said in package], strict=True):
        assert float(page["valueText"]) <= page["value"] <= value
        assert page["value"] >= least * (1 - SLACK) - 1e-290


def test_the_least_probability_and_the_draws_for_it(settings, shown, package):
    for x, page, said in zip(settings, shown, package, strict=True):
        least, most = said["least"]
        if page["needed"] is None:
            assert math.isnan(most)
            continue
        seen = float(page["needed"])
        if seen < least:  # near 0 the page has more digits
            law = {"epsilon": x["epsilon"], "ratio": ratio_of(x), "sigma": x["sigma"]}
            assert hrs.p_adv(better(seen), **law) >= x["tau"]
        assert page["least"]["hit"] <= better(most)
        assert 1 - page["least"]["miss"] <= better(most)
        assert seen - most <= 0.01 * min(most, max(1 - most, 0.01)) + 2.0**-50
        if said["draws"]:
            assert said["draws"][0] <= page["draws"] <= said["draws"][1]


def test_the_confidence_bound(shown, package):
    for page, said in zip(shown, package, strict=True):
        assert page["bound"] <= said["bound"] <= page["ceiling"]
        assert page["bound"] >= worse(said["bound"])
        assert worse(page["ceiling"]) <= said["bound"]


@pytest.fixture(scope="module")
def several_texts(settings, tmp_path_factory) -> list[tuple[dict, dict]]:
    """Settings with several texts for each image, and what the page says of them."""
    rng = np.random.default_rng(16)
    # below a threshold of 1e-6 the package gives away more than a digit that is shown
    some = [x | {"tau": max(x["tau"], 1e-6), "epsilon": float(rng.random())} for x in settings[:200]]
    chosen = [x | {"texts": int(rng.integers(2, 17))} for x in some]
    body = """
        const p = probabilities.probability(x.p);
        const ratio = certificate.likelihoodRatio(x, x.d, x.evidence === "masked");
        const s = x.epsilon / x.sigma;
        const needed = numbers.leastProbability(x, ratio, s);
        return {
          levels: certificate.levelsOf(p, x.texts, x.alike).map(({ hit, miss }) => (hit < miss ? hit : 1 - miss)),
          radius: numbers.radiusText(numbers.floored(numbers.radius(x, p, x.d, x.evidence === "masked"), 3)),
          unrounded: `${numbers.radius(x, p, x.d, x.evidence === "masked")}`,
          value: numbers.value(x, p, ratio, s),
          atNeeded: needed && numbers.value(x, needed, ratio, s),
          below: needed && numbers.value(x, probabilities.lowered(needed, 1e-6), ratio, s),
        };
    """
    engine = "node" if shutil.which("node") else "chromium"
    return list(zip(chosen, computed(engine, body, chosen, tmp_path_factory.mktemp("texts")), strict=True))


def test_the_levels_of_several_texts_are_those_of_the_stated_law(several_texts):
    tried = 0
    for x, page in several_texts:
        if 0 < x["p"] < 1:
            many = (1 - x["alike"]) / x["alike"]  # the two parameters of the beta law add up to this
            law = stats.betabinom(x["texts"], x["p"] * many, (1 - x["p"]) * many)
            np.testing.assert_allclose(page["levels"], law.sf(np.arange(x["texts"])), rtol=1e-6, atol=1e-12)
            assert math.fsum(page["levels"]) / x["texts"] == pytest.approx(x["p"], rel=1e-12)
            tried += 1
    assert tried > 100


def test_several_texts_for_one_image(several_texts):
    for x, page in several_texts:
        ratio, seen = ratio_of(x), number(page["radius"])
        # the page keeps more digits of a level near 1 than a float64 does, so it lies between its neighbours
        some = np.array([[near(level) for level in page["levels"]] for near in (worse, better)])
        tau = [x["tau"] * (1 + SLACK), x["tau"]]
        least, most = certified_radius_texts(some, ratio, sigma=x["sigma"], tau=tau)
        assert not max(seen, number(page["unrounded"])) > most
        assert math.isnan(seen) or not math.isnan(most)
        if not math.isnan(least):
            assert seen >= hrs.floored(least, DIGITS)
            assert number(page["unrounded"]) >= least
        least, most = p_adv_texts(some, x["epsilon"], ratio, sigma=x["sigma"])
        assert least * (1 - SLACK) - 1e-290 <= page["value"] <= most
        if page["atNeeded"] is not None:
            assert page["atNeeded"] >= x["tau"] * (1 - 1e-12)
            assert page["below"] < x["tau"]


STEPS: list[dict[str, Any]] = [  # what a reader does, one step after another
    {},
    {"beta": "0.5", "tau": "0.05", "epsilon": "2"},
    {"evidence": "masked", "misses": "3"},
    {"kernel": "absorbing", "d-slider": "10"},
    {"tau": "1"},
]


@pytest.fixture(scope="module")
def read_page(tmp_path_factory) -> list[BeautifulSoup]:
    """The explorer as a reader sees it after each step; the page is opened from disk, with nothing else of the book."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copytree(STATIC, folder / "_static")
    (folder / "book").mkdir()
    (body,) = re.findall(r"```\{raw\} html\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = """
      const seen = STEPS.map((step) => {
        for (const [name, value] of Object.entries(step)) {
          const number = document.getElementById(`explorer-${name}`);
          const control = number ?? document.querySelector(`[name="explorer-${name}"][value="${value}"]`);
          if (number) number.value = value;
          else control.checked = true;
          control.dispatchEvent(new Event(number ? "input" : "change"));
        }
        return document.getElementById("explorer").outerHTML;
      });
      document.body.textContent = JSON.stringify(seen);
    """.replace("STEPS", json.dumps(STEPS))
    page = folder / "book" / "explorer.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{body}<script>{script}</script>", encoding="utf-8")
    seen = json.loads(unescape(re.findall(r"<body>(.*)</body>", opened(page), re.DOTALL)[0]))
    return [BeautifulSoup(state, "html.parser") for state in seen]


def frontier_on(page: BeautifulSoup) -> list[list[str]]:
    rows = page.select('[data-shows="radii"] tbody tr')
    return [[cell.get_text() for cell in row.select("th, td")] for row in rows]


def test_the_page_shows_the_frontier_of_the_controls(read_page):
    now: dict[str, Any] = {"kernel": "uniform", "beta": "0.25", "tau": "4.6e-5", "misses": "20", "d": "3"}
    now["evidence"] = "plain"
    for step, page in list(zip(STEPS, read_page, strict=True))[:-1]:
        now |= {name.removesuffix("-slider"): value for name, value in step.items()}
        beta, tau = float(now["beta"]), float(now["tau"])
        kernel = hrs.UniformKernel(beta, 32_000) if now["kernel"] == "uniform" else hrs.AbsorbingKernel(beta)
        bound = hrs.clopper_pearson_lower(10_000 - int(now["misses"]), 10_000, 0.01)
        law = {"sigma": 0.5, "tau": tau, "d_max": max(8, int(now["d"]))}
        plain, masked = (hrs.frontier(bound, kernel, masked=kind, **law).radii for kind in (False, True))
        most = hrs.clopper_pearson_lower(10_000, 10_000, 0.01)
        ceiling = hrs.frontier(most, kernel, masked=now["evidence"] == "masked", **law).radii
        each = zip(hrs.floored(plain, DIGITS), hrs.floored(masked, DIGITS), hrs.ceiled(ceiling, DIGITS), strict=True)
        shown = [["none" if math.isnan(x) else f"{x:.{DIGITS}f}" for x in radii] for radii in each]
        assert frontier_on(page) == [[str(d), *radii] for d, radii in enumerate(shown)]
        bars = page.select('[data-shows="frontier"] rect.bar')
        assert len(bars) == np.sum(~np.isnan(masked if now["evidence"] == "masked" else plain))


def test_the_program_that_the_page_prints_computes_the_frontier_that_it_shows(read_page, capsys):
    for page in (read_page[0], read_page[3]):
        exec(page.select_one('[data-shows="python"]').get_text(), {})
        column = 1 if page is read_page[0] else 2
        shown = [row[column] for row in frontier_on(page)]
        printed = re.findall(r"d = (\d+): (?:epsilon <= )?(.*)", capsys.readouterr().out)
        assert [radius.replace("not certified", "none") for _, radius in printed] == shown


def test_the_page_says_what_binds(read_page):
    verdicts = [page.select_one('[data-shows="verdict"]').get_text() for page in read_page]
    assert verdicts[0].startswith("Certified: no attack with d = 3, ε = 1 ")
    assert verdicts[1].startswith("Not certified: with d = 3, ε = 2 ")
    said = [page.select_one('[data-shows="words"]').get_text() for page in read_page]
    assert "One more edit at ε = 1 is not certified." in said[0]
    assert re.search(r"The (misses|number of draws) binds?: it takes pA of at least 0\.\d+\.", said[1])
    assert "masked draws are the better evidence" in said[0]


def test_a_value_that_cannot_be_used_is_named_and_changes_nothing(read_page):
    before, after = read_page[-2:]
    assert after.select_one("#explorer-tau-error").get_text() == "Give a number from 1e-12 to 0.99."
    assert after.select_one("#explorer-tau")["aria-invalid"] == "true"
    assert frontier_on(after) == frontier_on(before)


def test_every_control_has_a_name_and_every_picture_too(read_page):
    page = read_page[0]
    for control in page.select('input[type="number"]'):
        assert page.select_one(f'label[for="{control["id"]}"]').get_text().strip()
    assert all(slider["aria-label"] for slider in page.select('input[type="range"]'))
    assert all(radio.parent.name == "label" for radio in page.select('input[type="radio"]'))
    pictures = page.select("svg")
    assert all(picture.get("aria-label") or picture.get("aria-hidden") for picture in pictures)
    assert len(pictures) > 2
