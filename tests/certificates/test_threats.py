"""What a threat noises and edits; the in-place suffix against every classifier, by linear programming."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

import hybrid_rs as hrs
from hybrid_rs.certificates.threats import InPlaceThreat, Threat

BETA, V = 0.4, 3


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_in_place_noises_the_end_of_the_text_and_its_edits_are_the_last(length):
    threat = InPlaceThreat(max_edits=3)
    assert isinstance(threat, Threat)
    noised, sure = threat.noised(length), threat.conditions(length)
    assert noised.shape == (1, length + threat.slot)
    assert sure.shape == (4, length)
    for d in range(4):
        assert sure[d].sum() == min(d, length)
        assert np.all(sure[d] <= noised[0])
        assert sure[d][length - min(d, length) :].all()
    assert noised.sum() == min(3, length)


def test_bad_values_are_named():
    with pytest.raises(ValueError, match="max_edits = 0"):
        InPlaceThreat(0)
    with pytest.raises(ValueError, match="length = 0"):
        InPlaceThreat(1).noised(0)


def law(text, noised, replaced=()):
    """Masses of all noisy texts; positions in ``replaced`` are replaced for certain."""

    def chance(token, own, where):
        if not noised[where]:
            return float(token == own)
        beta = 1.0 if where in replaced else BETA
        return 1 - beta if token == own else beta / (V - 1)

    places = range(len(text))
    return [math.prod(chance(z[i], text[i], i) for i in places) for z in product(range(V), repeat=len(text))]


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("p", [0.6, 0.95])
def test_no_classifier_is_below_the_in_place_certificate(d, p):
    threat, kernel, text = InPlaceThreat(2), hrs.UniformKernel(BETA, V), (0, 1, 2)
    noised, last = threat.noised(3)[0], [int(i) for i in np.flatnonzero(threat.conditions(3)[d])]
    plain = float(hrs.p_adv(p, 0.0, kernel.likelihood_ratio(d), sigma=1.0))
    masked = float(hrs.p_adv(p, 0.0, kernel.likelihood_ratio(d, masked=True), sigma=1.0))
    values: dict[bool, list[float]] = {True: [], False: []}
    for attacked in product(range(V), repeat=3):
        edited = [i for i in range(3) if attacked[i] != text[i]]
        for given in (False, True):
            allowed = set(edited) <= (set(last) if given else set(np.flatnonzero(noised))) and len(edited) <= d
            if allowed:
                clean = law(text, noised, last if given else ())
                found = linprog(law(attacked, noised), A_ub=[[-x for x in clean]], b_ub=[-p], bounds=(0, 1))
                values[given].append(found.fun)
    assert min(values[False]) == pytest.approx(plain, abs=1e-9)  # attained
    assert min(values[True]) == pytest.approx(masked, abs=1e-9)
