"""Counts that were drawn remember their kernel and sigma, and whatever certifies with others refuses them."""

import json
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.attacks.bounds import beside_bounds, beside_ceilings
from hybrid_rs.baselines.safer import SynonymGuard, SynonymKernel
from hybrid_rs.baselines.subsampling import SubsampledGuard, Subsamples, Subsampling
from hybrid_rs.certificates import certificate
from hybrid_rs.certificates.committed_certificate import certify_committed
from hybrid_rs.certificates.committed_text_certificate import certify_committed_texts
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.text_certificate import certify_texts
from hybrid_rs.certificates.threats import EditDistanceThreat
from hybrid_rs.certificates.upper import radii_below
from hybrid_rs.decisions.select import Candidate
from hybrid_rs.decisions.text_plan import expected_counts, expected_radii
from hybrid_rs.evidence.counts import smoothing_text
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard
from hybrid_rs.smoothing.margins import sample_margins
from hybrid_rs.smoothing.together import sample_together
from hybrid_rs.storage.counts import CountsStore, units
from hybrid_rs.storage.streams import StreamStore
from hybrid_rs.tables.data import election
from hybrid_rs.tables.linear import LinearClassifier, sample as sample_row


@dataclass(frozen=True)
class Scored:
    """A guard with scores and a margin."""

    margin: float = 0.0
    alphabet, pad_id, mask_id = np.arange(10, 30), 12, None

    def scores(self, token_ids, images):
        return images.mean(axis=(1, 2, 3)) - 0.4

    def unsafe(self, token_ids, images):
        return self.scores(token_ids, images) > self.margin


N, SIGMA, ROUND = 64, 0.5, EXAMPLE.rounded()
GUARD = ToyGuard()
ONE = hrs.SmoothedGuard(GUARD, KERNEL, SIGMA, SUFFIX)
PER_D, ANYWHERE = replace(ONE, threat=NESTED), replace(ONE, threat=hrs.L0Threat(2))
DELETED = DeletionSmoothedGuard(GUARD, DeletionKernel(0.4), SIGMA, EditDistanceThreat(2))
TEXTS = {"texts": 4}
HOW = {  # how each kind of counts is drawn
    "plain": (ONE, {}),
    "per d": (PER_D, {}),
    "masked": (ONE, {"masked": True}),
    "subsets": (ANYWHERE, {"masked": True}),
    "texts": (ONE, TEXTS),
    "masked texts": (ONE, {"masked": True} | TEXTS),
    "subset texts": (ANYWHERE, {"masked": True} | TEXTS),
    "deletion": (DELETED, {}),
}
DRAWN = {name: smoothed.sample(ROUND, N, **how) for name, (smoothed, how) in HOW.items()}
WORDS = "UniformKernel(beta=0.4, vocab_size=20) and sigma = 0.5"

AT = {"d": 1, "epsilon": 0.1, "tau": 0.05}
UP_TO = {"tau": 0.05, "d_max": 1}
ROW = {"example": "toy/0", "d": 1, "epsilon": 0.1, "edits": 1, "queries": 9, "adaptive": True}
ROW |= {"unsafe": 60, "n": 64, "estimate": 0.9, "threat": {"name": "SuffixThreat"}}


def of_guard(counts, kernel, sigma):
    guard = replace(GUARD, alphabet=np.arange(10, 10 + getattr(kernel, "vocab_size", 20)))
    threat = SUFFIX if counts.by_budget else hrs.L0Threat(1)
    return hrs.SmoothedGuard(guard, kernel, sigma, threat).frontier(counts, tau=0.05)


def of_deleting_guard(counts, kernel, sigma):
    return replace(DELETED, kernel=kernel, sigma=sigma).frontier(counts, tau=0.05)


def all_of(*names):
    return [name for name in DRAWN if name not in names]


CALLS = {  # what takes counts with a kernel and sigma, and the kinds that it takes
    "certify": (lambda c, k, s: hrs.certify(c, k, sigma=s, **AT), all_of()),
    "certify at d = 0": (lambda c, k, s: hrs.certify(c, k, sigma=s, **AT | {"d": 0}), all_of()),
    "certify one text": (
        lambda c, k, s: certificate.certify(c, k, sigma=s, **AT),
        ["plain", "per d", "masked", "subsets", "deletion"],
    ),
    "certify_texts": (lambda c, k, s: certify_texts(c, k, sigma=s, **AT), ["texts", "masked texts"]),
    "certify_committed": (lambda c, k, s: certify_committed(c, k, sigma=s, **AT), ["masked", "subsets"]),
    "certify_committed_texts": (
        lambda c, k, s: certify_committed_texts(c, k, sigma=s, **AT),
        ["masked texts", "subset texts"],
    ),
    "frontier_of": (lambda c, k, s: hrs.frontier_of(c, k, sigma=s, **UP_TO), all_of()),
    "frontiers_of": (lambda c, k, s: frontiers_of([replace(c, smoothing=""), c], k, sigma=s, **UP_TO), all_of()),
    "radii_below": (
        lambda c, k, s: radii_below(c.of_budget(1), k, sigma=s, **UP_TO),
        ["plain", "per d", "deletion"],
    ),
    "beside_bounds": (
        lambda c, k, s: beside_bounds([ROW | {"sigma": s}], [c], k),
        ["plain", "per d", "masked", "subsets", "deletion"],
    ),
    "beside_ceilings": (
        lambda c, k, s: beside_ceilings([ROW | {"sigma": s}], [c], k),
        ["plain", "per d", "deletion"],
    ),
    "Candidate, unsafe": (lambda c, k, s: Candidate([], [c], k, s), all_of()),
    "Candidate, benign": (lambda c, k, s: Candidate([c], [], k, s), ["plain", "per d", "deletion"]),
    "expected_radii": (
        lambda c, k, s: [expected_radii(c, {m: N}, k, sigma=s, d=1, tau=0.05) for m in (2, 1)],
        ["texts", "masked texts", "subset texts"],
    ),
    "SmoothedGuard.frontier": (of_guard, all_of("deletion")),
    "DeletionSmoothedGuard.frontier": (of_deleting_guard, ["deletion"]),
}
CASES = [(call, kind) for call, (_, kinds) in CALLS.items() for kind in kinds]
REFUSED = r"kernel(, sigma)? = .*: (the counts were drawn with|give the kernel of the draws)"


@pytest.mark.parametrize(("call", "kind"), CASES)
def test_only_the_kernel_and_sigma_of_the_draws_are_accepted(call, kind):
    certify, counts, own = CALLS[call][0], DRAWN[kind], HOW[kind][0].kernel
    certify(counts, own, SIGMA)
    certify(counts, own, np.float64(SIGMA))
    with pytest.raises(
        ValueError, match=r"kernel, sigma = .* and sigma = 1\.0: the counts were drawn with .* = 0\.5; give"
    ):
        certify(counts, own, 1)
    others = [hrs.UniformKernel(0.5, 20), hrs.UniformKernel(0.4, 21), hrs.AbsorbingKernel(0.4)]
    for other in [DeletionKernel(0.5)] if kind == "deletion" else others:
        with pytest.raises(ValueError, match=REFUSED):
            certify(counts, other, SIGMA)


@pytest.mark.parametrize("wrong", [None, "uniform", hrs.UniformKernel, {"beta": 0.4, "vocab_size": 20}])
def test_what_is_no_kernel_is_named(wrong):
    with pytest.raises(ValueError, match=r"^kernel = .*: give the kernel of the draws, UniformKernel"):
        hrs.certify(DRAWN["plain"], wrong, sigma=SIGMA, **AT)


@pytest.mark.parametrize("kind", DRAWN)
def test_counts_that_were_typed_in_are_believed(kind):
    typed = replace(DRAWN[kind], smoothing="")
    assert (typed, repr(typed), hash(typed)) == (DRAWN[kind], repr(DRAWN[kind]), hash(DRAWN[kind]))
    assert hrs.frontier_of(typed, HOW[kind][0].kernel, sigma=7.0, **UP_TO).sigma == 7.0
    with pytest.raises(ValueError, match="smoothing = 7: give a string"):
        replace(typed, smoothing=7)


@pytest.mark.parametrize("edits", ["insertions", "deletions", "insertions and deletions", "all"])
def test_the_kind_of_edits_does_not_matter(edits, tmp_path):
    for call in (name for name, (_, kinds) in CALLS.items() if "deletion" in kinds):
        CALLS[call][0](DRAWN["deletion"], DeletionKernel(0.4, edits), SIGMA)
    other = replace(DELETED, kernel=DeletionKernel(0.4, edits))
    CountsStore(tmp_path / "counts.jsonl", "toy").sample(DELETED, [ROUND], n=N, progress=False)
    kept = CountsStore(tmp_path / "counts.jsonl", "toy").get(other, ROUND, n=N)
    assert other.frontier(kept, tau=0.05).radii.size == 3


@pytest.mark.parametrize("kind", DRAWN)
def test_a_store_and_a_worker_hand_it_on(kind, tmp_path):
    (smoothed, how), words = HOW[kind], DRAWN[kind].smoothing
    assert words == ("DeletionKernel(beta=0.4) and sigma = 0.5" if kind == "deletion" else WORDS)
    assert pickle.loads(pickle.dumps(DRAWN[kind])).smoothing == words
    path = tmp_path / "counts.jsonl"
    made = CountsStore(path, "toy").sample(smoothed, [ROUND], n=N, progress=False, **how)
    kept = [CountsStore(path, "toy").get(smoothed, ROUND, n=N, **how), units(path)[0][1]]
    assert [counts.smoothing for counts in made + kept] == [words] * 3
    assert "smoothing" not in path.read_text()


def test_counts_made_of_others_hand_it_on():
    assert DRAWN["per d"].of_budget(1).smoothing == DRAWN["plain"].of_budget(1).smoothing == WORDS
    assert [DRAWN[kind].clean.smoothing for kind in ("masked", "subsets", "subset texts")] == [WORDS] * 3
    for kind in ("texts", "masked texts", "subset texts"):
        counts = DRAWN[kind]
        assert type(counts).from_dict(json.loads(json.dumps(counts.to_dict()))).smoothing == WORDS
        assert [expected_counts(counts, m, N).smoothing for m in (1, 2)] == [WORDS] * 2


def test_noise_that_is_shared_is_remembered_by_each():
    guards = [replace(ONE, kernel=hrs.UniformKernel(beta, 20)) for beta in (0.1, 0.4)]
    assert [c.smoothing for c in sample_together(guards, ROUND, N)] == [WORDS.replace("0.4", "0.1"), WORDS]
    scored = hrs.SmoothedGuard(Scored(), KERNEL, 0.0, SUFFIX)
    drawn = sample_margins(scored, ROUND, N, [0.0, 0.1])
    assert [c.smoothing for c in drawn] == [WORDS.replace("0.5", "0.0")] * 2
    assert scored.frontier(drawn[0], tau=0.05).sigma == 0.0


def test_tables_and_baselines_remember_it(tmp_path):
    table = election()
    kernel, weights = hrs.FeatureKernel(0.25, table.sizes), tuple(np.zeros(size) for size in table.sizes)
    machine = LinearClassifier(1.0, np.zeros(len(table.numeric_names)), weights)
    counts = sample_row(machine, table, 0, kernel, sigma=SIGMA, n=N)
    assert hrs.certify(counts, kernel, sigma=SIGMA, **AT).k == N
    with pytest.raises(ValueError, match=REFUSED):
        hrs.certify(counts, replace(kernel, sizes=(*table.sizes[::-1], 2)), sigma=SIGMA, **AT)
    subsampled = SubsampledGuard(GUARD, Subsampling(keep_tokens=1, keep_pixels=4, token_fill=12))
    store = CountsStore(tmp_path / "counts.jsonl", "toy", Subsamples())
    (kept,) = store.sample(subsampled, [ROUND], n=N, progress=False)
    others = [kept, subsampled.sample(ROUND, N), SynonymGuard(GUARD, SynonymKernel({}), SIGMA).sample(ROUND, N)]
    assert others[0].smoothing == others[1].smoothing
    for counts in others:
        with pytest.raises(ValueError, match=REFUSED):
            hrs.certify(counts, KERNEL, sigma=SIGMA, **AT)


def test_a_stream_believes_no_counts_of_another_smoothing(tmp_path):
    equal = replace(DRAWN["plain"], unsafe=(N,))
    store, law = StreamStore(tmp_path / "streams.jsonl", "toy"), {"max_draws": N, "counts": equal}
    assert store.until(ONE, ROUND, lambda row: row.size > 0, **law).all()
    for other in (replace(ONE, sigma=1.0), replace(ONE, kernel=hrs.UniformKernel(0.1, 20))):
        with pytest.raises(ValueError, match=REFUSED):
            store.until(other, ROUND, lambda row: row.size > 0, **law)


def test_the_json_of_a_certificate_is_as_it_was():
    for kind in ("masked texts", "subset texts"):
        made = certify_committed_texts(DRAWN[kind], KERNEL, sigma=SIGMA, **AT)
        typed = certify_committed_texts(replace(DRAWN[kind], smoothing=""), KERNEL, sigma=SIGMA, **AT)
        assert made.counts.smoothing == WORDS
        assert made.to_json() == typed.to_json()
        assert hrs.read_certificate(made.to_json()) == made
        with pytest.raises(ValueError, match=REFUSED):
            replace(made, sigma=1.0)


def test_words_are_the_same_for_equal_numbers_and_for_what_a_store_writes():
    assert smoothing_text(KERNEL, 1) == smoothing_text(KERNEL, np.float32(1.0)) == smoothing_text(KERNEL, np.array(1.0))
    assert smoothing_text({"vocab_size": 20, "name": "UniformKernel", "beta": 0.4}, SIGMA) == WORDS
    assert smoothing_text(KERNEL, 0.1) != smoothing_text(KERNEL, np.nextafter(0.1, 1))
    with pytest.raises(ValueError, match="sigma = -1"):
        smoothing_text(KERNEL, -1)
