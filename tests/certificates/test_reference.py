"""Agreement with values computed by other people's code (tests/reference/README.md says which)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hybrid_rs as hrs

REFERENCE = Path(__file__).parents[1] / "reference"


def table(name):
    return pd.read_csv(REFERENCE / f"{name}.csv")


def kernel_of(row):
    return hrs.UniformKernel(row.beta, int(row.V)) if row.kernel == "uniform" else hrs.AbsorbingKernel(row.beta)


def by_law(frame, *law):
    """The rows of each law together, as columns, and a row that stands for them."""
    for _, rows in frame.groupby(list(law)):
        yield next(rows.itertuples()), rows


def test_hybrid_radius_against_exact_values_and_the_authors_solver():
    disagreements = 0
    for row, rows in by_law(table("authors_released_solver_radius"), "kernel", "beta", "V", "d"):
        ratio = kernel_of(row).likelihood_ratio(row.d)
        exact = np.nan_to_num(hrs.certified_radius(rows["pA"], ratio, sigma=rows["sigma"], tau=rows["tau"]))
        assert exact == pytest.approx(np.nan_to_num(rows["r_exact"]), rel=1e-9, abs=1e-9)
        theirs = np.nan_to_num(rows["r_repo"])
        if row.beta < 1:
            assert exact == pytest.approx(theirs, abs=2e-8)
        elif row.kernel == "uniform":
            assert np.all(theirs >= exact - 2e-8)
            disagreements += int(np.sum(theirs > exact + 1e-3))
    assert disagreements > 0  # at beta = 1 the released solver certifies too much, somewhere on this grid


def test_hybrid_value_against_exact_values():
    for row, rows in by_law(table("authors_released_solver_value"), "kernel", "beta", "V", "d"):
        ratio, sigma = kernel_of(row).likelihood_ratio(row.d), rows["sigma"]
        value = hrs.p_adv(rows["pA"], rows["r"], ratio, sigma=sigma)
        assert value == pytest.approx(rows["V_exact"].to_numpy(), rel=1e-9, abs=1e-300)
        knapsack = hrs.p_adv(rows["pA"], 0.0, ratio, sigma=sigma)
        assert knapsack == pytest.approx(rows["knapsack_exact"].to_numpy(), rel=1e-9, abs=1e-300)


def test_knapsack_of_the_uniform_kernel_in_both_conventions():
    for row in table("chen_uniform_padv").itertuples():
        beta = row.beta_per_token * (row.V - 1)
        value = hrs.p_adv(row.pA, 0.0, hrs.UniformKernel(beta, row.V).likelihood_ratio(row.d), sigma=1.0)
        assert value == pytest.approx(row.p_adv_exact, rel=1e-8, abs=1e-300)


def test_knapsack_of_the_absorbing_kernel():
    for row in table("chen_absorb_padv").itertuples():
        value = hrs.p_adv(row.pA, 0.0, hrs.AbsorbingKernel(row.beta).likelihood_ratio(row.d), sigma=1.0)
        assert value == pytest.approx(row.p_adv_exact, rel=1e-8, abs=1e-12)


def test_discrete_certificate_of_bojchevski():
    for row in table("bojchevski_discrete_rho").itertuples():
        value = hrs.p_adv(row.p_emp, 0.0, hrs.UniformKernel(row.pf, row.k).likelihood_ratio(row.r), sigma=1.0)
        assert value == pytest.approx(row.rho_exact, rel=1e-8, abs=1e-15)


def test_least_certifiable_probability_of_lee():
    for row in table("lee2019_rho_inv_half").itertuples():
        kernel = hrs.UniformKernel(1 - row.keep_prob_alpha, row.K_other_values + 1)
        needed = hrs.required_p_a(0.0, kernel.likelihood_ratio(row.r), sigma=1.0, tau=0.5)
        assert needed == pytest.approx(row._6, abs=1e-12)


def test_hierarchical_gaussian_is_the_absorbing_kernel():
    laws = by_law(table("scholten_hier_gaussian_binary"), "k_selected", "d_total", "r_entities")
    for row, rows in laws:
        kernel = hrs.AbsorbingKernel(1 - row.k_selected / row.d_total)
        ratio = kernel.likelihood_ratio(row.r_entities)
        radius = hrs.certified_radius(rows["p_lower"], ratio, sigma=rows["sigma"], tau=0.5)
        expected = rows["radius_repo"].where(rows["radius_repo"] >= 0).to_numpy()
        assert radius == pytest.approx(expected, rel=1e-8, abs=1e-9, nan_ok=True)


def test_clopper_pearson_and_cohen():
    identity = hrs.LikelihoodRatio.identity()
    rows = table("cohen_cp_radius")
    bound = hrs.clopper_pearson_lower(rows["nA"], rows["n"], rows["alpha"])
    assert bound == pytest.approx(rows["pA_lower"].to_numpy(), rel=1e-11)
    for tau, expected in ((0.5, "radius_tau_half"), (4.6e-5, "radius_tau_4.6e-5")):
        radius = np.nan_to_num(hrs.certified_radius(bound, identity, sigma=rows["sigma"], tau=tau))
        assert radius == pytest.approx(rows[expected].to_numpy(), rel=1e-9, abs=1e-9)
