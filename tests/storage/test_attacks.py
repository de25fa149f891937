"""The store of attacks resumes, and what an attack reached is compared with the bounds of its own point."""

from dataclasses import replace

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.attacks.bounds import beside_bounds
from hybrid_rs.attacks.joint import without_noise
from hybrid_rs.storage.attacks import AttackStore
from hybrid_rs.storage.records import sealed

TINY = Effort(draws=8, probes=8, candidates=4, sweeps=0, steps=2, rounds=1, restarts=1, select=8)


class Bright:
    """Unsafe if bright and not full of sevens; knows how often it was asked."""

    alphabet, pad_id, mask_id = np.arange(10), 0, None

    def __init__(self):
        self.asked = 0

    def unsafe(self, token_ids, images):
        self.asked += len(token_ids)
        return images.mean(axis=(1, 2, 3)) > 0.3 + 0.2 * (token_ids == 7).sum(axis=1)


def test_attacks_of_two_guards_are_not_one_piece_of_work(tmp_path):
    (one, example), (other, _) = setting(hrs.L0Threat(1)), setting(hrs.L0Threat(1))
    store = AttackStore(tmp_path / "attacks.jsonl", "bright")
    with pytest.raises(ValueError, match=r"^attacks = 2"):
        store.attack_each([(one, example, 1, 0.1), (other, example, 0, 0.1)], effort=TINY, n=50)
    with pytest.raises(ValueError, match=r"^engine = 3"):
        AttackStore(tmp_path / "attacks.jsonl", "bright", engine=3)


def test_attacks_on_two_contents_of_one_id_are_refused(tmp_path):
    smoothed, example = setting(hrs.L0Threat(1))
    other = replace(example, token_ids=example.token_ids[:2])
    with pytest.raises(ValueError, match="examples = 'grey': two of them have this id and differ"):
        AttackStore(tmp_path / "attacks.jsonl", "bright").attack_each([(smoothed, e, 1, 0.1) for e in (example, other)])


def setting(threat, sigma=0.5):
    smoothed = hrs.SmoothedGuard(Bright(), hrs.UniformKernel(0.25, 10), sigma, threat)
    return smoothed, hrs.Example("grey", np.array([1, 2, 3]), np.full((3, 4, 4), 0.6, np.float32))


def test_an_attack_is_searched_for_once_and_a_cut_line_again(tmp_path):
    path = tmp_path / "deep" / "attacks.jsonl"
    smoothed, example = setting(hrs.L0Threat(2))
    first = AttackStore(path, "bright").attack(smoothed, example, 1, 0.5, effort=TINY, n=50)
    assert len(first["token_ids"]) == 3
    asked, store = smoothed.guard.asked, AttackStore(path, "bright")
    assert len(store) == 1
    assert store.attack(smoothed, example, 1, 0.5, effort=TINY, n=50) == first
    assert smoothed.guard.asked == asked
    others = [{"n": 60}, {"seed": 1}, {"effort": replace(TINY, draws=9)}, {"adaptive": False}]
    for other in others:  # each is another attack
        store.attack(smoothed, example, 1, 0.5, **{"effort": TINY, "n": 50} | other)
    store.attack(smoothed, example, 2, 0.5, effort=TINY, n=50)
    store.attack(smoothed, example, 1, 0.4, effort=TINY, n=50)
    assert len(store) == len(path.read_text().splitlines()) == 7
    assert len(AttackStore(path, "another").attack(smoothed, example, 1, 0.5, effort=TINY, n=50)) == len(first)
    whole = path.read_text()
    path.write_text(whole[:-20])
    resumed = AttackStore(path, "another")
    assert len(resumed) == 7
    assert path.read_text() == whole[:-20]  # another run may be writing the rest
    how = {"effort": TINY, "n": 50}
    assert resumed.get(smoothed, example, 1, 0.5, **how) is None
    assert AttackStore(path, "bright").get(smoothed, example, 1, 0.5, **how) == first
    resumed.attack(smoothed, example, 1, 0.5, effort=TINY, n=50)
    assert path.read_text() == whole


def test_another_schema_is_refused(tmp_path):
    path = tmp_path / "attacks.jsonl"
    path.write_text(sealed({"schema": 99}) + "\n")
    with pytest.raises(ValueError, match="schema = 99"):
        AttackStore(path, "bright")


def test_without_noise_the_guard_is_asked_about_the_input_itself():
    smoothed, example = setting(hrs.SuffixThreat(2))
    bare = without_noise(smoothed)
    assert bare.sample(example, 20).unsafe == (20,)
    assert 0 < smoothed.sample(example, 200).unsafe[0] < 200
    assert bare.threat == smoothed.threat


@pytest.mark.parametrize("threat", [hrs.SuffixThreat(2), hrs.L0Threat(2)])
def test_each_attack_stands_beside_the_bounds_of_its_own_point(tmp_path, threat):
    smoothed, example = setting(threat)
    counts = smoothed.sample(example, 2000, masked=True)
    store, points = AttackStore(tmp_path / "attacks.jsonl", "bright"), ((0, 0.3), (1, 0.3), (2, 0.6))
    attacks = [store.attack(smoothed, example, d, epsilon, effort=TINY, n=500) for d, epsilon in points]
    table = beside_bounds(attacks, [counts] * 3, smoothed.kernel, alpha=0.02, risk=0.01)
    for (d, epsilon), row in zip(points, table.itertuples(), strict=True):
        ratio = smoothed.kernel.likelihood_ratio(d)
        p_a = hrs.clopper_pearson_lower(counts.clean.unsafe[0], 2000, 0.02)
        assert row.certified == pytest.approx(hrs.p_adv(p_a, epsilon, ratio, sigma=0.5), abs=1e-12)
        assert row.upper > row.g > 0
        each = hrs.clopper_pearson_lower(counts.clean.unsafe[0], 2000, 0.01 / 9)
        assert row.floor >= hrs.p_adv(each, epsilon, ratio, sigma=0.5) - 1e-12
        assert row.upper >= row.floor
    masked = smoothed.kernel.likelihood_ratio(2, masked=True)
    assert table["certified, masked"][2] == pytest.approx(
        hrs.p_adv(counts.p_s(0.02)[2], 0.6, masked, sigma=0.5), abs=1e-12
    )
    one = beside_bounds(attacks[:1], [counts], smoothed.kernel)  # fewer at once, tighter bounds
    assert one["upper"][0] < table["upper"][0]
    assert one["floor"][0] > table["floor"][0]
