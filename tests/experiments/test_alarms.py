"""False alarms are counted by both rules, and their intervals cover."""

import numpy as np
import pytest
from scipy.stats import binomtest

import hybrid_rs as hrs
from hybrid_rs.experiments.alarms import RULES, alarm_shares, alarm_styles, share_interval, spelled_share


@pytest.mark.parametrize(("hits", "of"), [(0, 40), (4, 40), (39, 40), (40, 40), (7, 400), (0, 1)])
def test_the_interval_is_the_exact_one_of_scipy_rounded_outwards(hits, of):
    low, high = share_interval(hits / of, of)
    exact = binomtest(hits, of).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    share, least, most = spelled_share(hits / of, of).replace("(", "").replace(")", "").replace(" to ", " ").split()
    assert share == f"{hits / of:.0%}"
    assert int(least) / 100 <= low <= high <= int(most) / 100


def test_the_two_rules_are_those_of_a_calibration_and_of_the_estimate():
    rng = np.random.default_rng(0)
    values = rng.beta(0.3, 3, 60)
    safe = [hrs.Counts((int(rng.binomial(500, v)),), 500, f"{i}", 0) for i, v in enumerate(values)]
    made = hrs.calibrate(safe[:30], 0.2, alpha=0.01)
    shares = alarm_shares(safe[30:], made, 0.01)
    assert tuple(shares) == RULES
    assert shares["estimated alarms"][0] == np.mean([c.unsafe[0] / c.n >= made.tau for c in safe[30:]])
    assert shares["deployed alarms"][0] == np.mean([made.flags(c)[0] for c in safe[30:]])
    assert shares["deployed alarms"][0] >= shares["estimated alarms"][0]  # at a risk below one half
    (style,) = set(alarm_styles(30).values())
    assert style(0.1) == spelled_share(0.1, 30)


def test_a_share_that_is_no_share_of_so_many_is_refused():
    with pytest.raises(ValueError, match=r"share = 0\.11: give a multiple of 1 / 40"):
        share_interval(0.11, 40)
