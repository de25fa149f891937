"""What a guard answers: bool, or exactly 0 and 1; all else is an error that names guard and draw, never a verdict."""

import pickle
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.svm import SVC

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.attacks.exchanged import Exchanged
from hybrid_rs.attacks.joint import attack_jointly
from hybrid_rs.baselines.subsampling import SubsampledGuard, Subsampling
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.threats import EditDistanceThreat
from hybrid_rs.datasets.interaction import interaction_only
from hybrid_rs.guards.pipeline import PipelineGuard
from hybrid_rs.smoothing.answers import AnswerError, gradients, scores, verdicts
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard
from hybrid_rs.smoothing.margins import sample_margins
from hybrid_rs.tables.data import from_frame
from hybrid_rs.tables.linear import sample

EXAMPLE = hrs.Example("a", np.array([1, 2]), np.full((3, 4, 4), 128 / 255, np.float32))
KERNEL = hrs.UniformKernel(0.25, 50)


@dataclass
class Answering:
    """Answers the same to everything; from the draw ``after`` on, if that is given."""

    answer: Any
    after: int = 0
    margin: float = 0.0
    seen: list[int] = field(default_factory=list)
    alphabet, pad_id, mask_id = np.arange(50), 0, None

    def unsafe(self, token_ids, images):
        return self._answers(len(token_ids), True)

    def scores(self, token_ids, images):
        return self._answers(len(token_ids), 1.0)

    def gradients(self, token_ids, images):
        return self.scores(token_ids, images), None, np.zeros(images.shape, np.float32)

    def _answers(self, n, usual):
        first = sum(self.seen)
        self.seen.append(n)
        return np.array([usual if first + i < self.after else self.answer for i in range(n)])


def smoothed(guard, sigma=0.5):
    return hrs.SmoothedGuard(guard, KERNEL, sigma, hrs.SuffixThreat(2))


WRONG = [-1, 0.01, np.nan, "safe", None, 2, 1j, b"1", np.datetime64("2020-01-01"), [True]]


@given(
    arrays.arrays(st.sampled_from([bool, np.int8, np.uint64, np.float16, np.float32, np.float64]), st.integers(0, 8))
)
def test_an_answer_is_counted_as_it_stands_or_refused(answers):
    """Property: a checked array equals the answer, and an answer that equals no bool array is refused."""
    if np.isin(answers, [0, 1]).all():
        found = verdicts(answers, len(answers), "guard")
        assert found.dtype == bool
        np.testing.assert_array_equal(found, answers)
    else:
        with pytest.raises(AnswerError, match="return bool, or exactly 0 and 1"):
            verdicts(answers, len(answers), "guard")


@given(arrays.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 8)))
def test_a_score_is_finite_or_refused(answers):
    if np.isfinite(answers).all():
        assert scores(answers, len(answers), "guard").dtype == answers.dtype
    else:
        row = np.flatnonzero(~np.isfinite(answers))[0]
        with pytest.raises(AnswerError, match=rf"guard\(...\) = (nan|-?inf) for row {row} of the batch"):
            scores(answers, len(answers), "guard")


@pytest.mark.parametrize("answer", WRONG)
def test_no_way_to_draw_counts_what_is_no_verdict(answer):
    guard = Answering(answer)
    frame = pd.DataFrame({"a": range(9), "b": [0, 2] * 4 + [1], "c": [*"xyxyxyxyx"], "d": [*"xyyxyxyxx"]})
    columns = {"numeric": ["a", "b"], "categorical": ["c", "d"]}
    data = from_frame("letters", frame, labels=[True] * 9, **columns)
    tables = type("Table", (), {"predict": lambda self, numeric, codes: np.array([answer] * len(codes))})()
    ways = {
        "certify": lambda: smoothed(guard).certify(EXAMPLE, n=100, tau=0.5),
        "masked": lambda: smoothed(guard).sample(EXAMPLE, 100, masked=True),
        "decide": lambda: smoothed(guard).decide(EXAMPLE, 1, 0.1, tau=0.5),
        "watch": lambda: next(smoothed(guard).watch(EXAMPLE, 100, tau=0.5)),
        "verdicts": lambda: next(smoothed(guard).verdicts(EXAMPLE, 100)),
        "attack": lambda: attack_jointly(smoothed(guard), EXAMPLE, 1, 1.0, effort=Effort(uses="verdicts")),
        "subsampling": lambda: SubsampledGuard(guard, Subsampling(1, 4, 0)).sample(EXAMPLE, 100),
        "interaction": lambda: interaction_only(guard, [EXAMPLE], neutral_text=[0], blank_image=EXAMPLE.image),
        "tables": lambda: sample(tables, data, 0, hrs.FeatureKernel(0.5, (2, 2)), sigma=1.0, n=9),
    }
    for call in ways.values():
        with pytest.raises(AnswerError, match=r"return (bool|shape)"):
            call()


@pytest.mark.parametrize("answer", [np.nan, np.inf, -np.inf, "high"])
def test_no_way_to_draw_counts_what_is_no_score(answer):
    guard = Answering(answer)
    for call in (
        lambda: sample_margins(smoothed(guard), EXAMPLE, 100, [0.0]),
        lambda: attack_jointly(smoothed(guard), EXAMPLE, 1, 1.0, effort=Effort(uses="scores")),
        lambda: gradients(guard, np.zeros((2, 3), dtype=int), np.zeros((2, 3, 4, 4), np.float32)),
    ):
        with pytest.raises(AnswerError, match="return finite numbers"):
            call()


class Failing(Answering):
    """Raises its answer, in place of giving it."""

    def unsafe(self, token_ids, images):
        raise self.answer


@pytest.mark.parametrize("error", [KeyError("hello"), RuntimeError("CUDA died"), SystemExit(0), SystemExit("done")])
def test_what_a_guard_raises_names_it_the_example_and_the_line(error):
    guard, threat = Failing(error), EditDistanceThreat(2)
    deleting = DeletionSmoothedGuard(guard, DeletionKernel(0.25), 0.5, threat)
    for call in (
        lambda: smoothed(guard).sample(EXAMPLE, 100),
        lambda: smoothed(Exchanged(guard)).sample(EXAMPLE, 100),
        lambda: deleting.sample(EXAMPLE, 100),
        lambda: attack_jointly(smoothed(guard), EXAMPLE, 1, 1.0, effort=Effort(uses="verdicts")),
        lambda: SubsampledGuard(guard, Subsampling(1, 4, 0)).sample(EXAMPLE, 100),
    ):
        with pytest.raises(AnswerError) as caught:
            call()
        said = str(caught.value)
        assert said.startswith(f"Failing.unsafe(...) = no answer, but {type(error).__name__}: ")
        assert re.search(r"for example 'a': correct the guard's own code \(test_answers.py, line \d+\)$", said)
        assert str(pickle.loads(pickle.dumps(caught.value))) == said  # as it comes back from a worker


def test_a_ctrl_c_in_a_guard_passes_and_so_do_errors_of_this_package():
    with pytest.raises(KeyboardInterrupt):
        smoothed(Failing(KeyboardInterrupt())).sample(EXAMPLE, 100)
    ours = type("Ours", (Failing,), {"__module__": "hybrid_rs.guards.endpoint"})
    with pytest.raises(RuntimeError, match=r"^no server answers$"):
        smoothed(ours(RuntimeError("no server answers"))).sample(EXAMPLE, 100)


@pytest.mark.parametrize(("sigma", "draw"), [(0.5, 300), (0.0, None)])
def test_the_error_names_the_guard_the_example_and_the_draw(sigma, draw):
    with pytest.raises(ValueError, match=r"Answering.unsafe\(...\) = 0.5 for example 'a', draw \d+: return") as caught:
        smoothed(Answering(0.5, after=draw or 3), sigma).sample(EXAMPLE, 1000)
    if draw:  # with image noise every draw is asked about, in order
        assert f"draw {draw}:" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as it comes back from a worker


def test_an_answer_of_another_shape_or_from_elsewhere_is_refused():
    for answer, said in (
        (np.ones((3, 1), bool), r"an array of shape \(3, 1\)"),
        (np.ones(2, bool), r"an array of shape \(2,\)"),
        (True, r"an array of shape \(\)"),
        (np.ma.masked_array([True] * 3, [False, True, False]), "a masked array"),
        (torch.ones(3, requires_grad=True), r"Tensor \(.*\): return a NumPy array"),
        (torch.ones(3, dtype=torch.bfloat16), r"Tensor \(.*\): return a NumPy array"),
        ([[True], [True, False]], r"list \(.*\): return a NumPy array"),
    ):
        with pytest.raises(AnswerError, match=said):
            verdicts(answer, 3, "guard")
    assert verdicts(torch.tensor([True, False]), 2, "guard").tolist() == [True, False]
    assert verdicts([True, False], 2, "guard").tolist() == [True, False]


def test_gradients_of_another_shape_are_refused():
    texts, images = np.zeros((2, 3), dtype=int), np.zeros((2, 3, 4, 4), np.float32)
    for by_token, by_pixel, said in (
        (None, images[:1], "return the shape of images"),
        (np.zeros((2, 4, 5)), images, r"return shape \(batch, length, width\)"),
        (np.full((2, 3, 5), np.nan), images, "return finite numbers"),
        (None, images * np.nan, "return finite numbers"),
    ):
        guard = type("Guard", (), {"gradients": lambda self, *pair, a=by_token, b=by_pixel: (np.zeros(2), a, b)})()
        with pytest.raises(AnswerError, match=said):
            gradients(guard, texts, images)


@pytest.mark.parametrize("labels", [(1, -1), ("unsafe", "safe"), (2, 1), (0, 1), (True, False)])
def test_the_labels_of_a_classifier_are_named_never_cast(labels):
    unsafe, safe = labels
    x = np.random.default_rng(0).normal(size=(50, 3 + 48)).astype(np.float32)
    fitted = SVC().fit(x, np.where(x[:, 0] > 0, unsafe, safe))
    rows = np.array([[1, 2]] * 4), np.random.default_rng(1).random((4, 3, 4, 4), dtype=np.float32)
    guard = PipelineGuard(fitted, (",", "a", "b"), (4, 4), positive=unsafe)
    expected = [label == unsafe for label in fitted.predict(guard.features(*rows))]
    assert guard.unsafe(*rows).tolist() == expected
    bare = PipelineGuard(fitted, (",", "a", "b"), (4, 4))
    if set(labels) == {0, 1}:
        assert bare.unsafe(*rows).tolist() == fitted.predict(guard.features(*rows)).astype(bool).tolist()
    else:
        with pytest.raises(ValueError, match="positive = None: say which of the classifier's labels"):
            bare.unsafe(*rows)
        unlabelled = type("Bare", (), {"predict": lambda self, features: fitted.predict(features)})()
        if -1 in labels:
            with pytest.raises(AnswerError, match="compare labels with the unsafe one"):
                PipelineGuard(unlabelled, (",", "a", "b"), (4, 4)).unsafe(*rows)
    with pytest.raises(ValueError, match="positive = 'unsure': give one of the classifier's"):
        PipelineGuard(fitted, (",", "a", "b"), (4, 4), positive="unsure").unsafe(*rows)


class TestExampleFields:
    @pytest.mark.parametrize(
        "ids", [[1.7], [np.nan], [-1], [True], ["1"], [2**64], np.array([2**63], np.uint64), [np.inf], [[1], [1, 2]]]
    )
    def test_ids_that_are_not_whole_numbers_from_0_on_are_refused(self, ids):
        with pytest.raises(ValueError, match=r"token_ids = .*: give"):
            hrs.Example("a", ids, EXAMPLE.image)

    @pytest.mark.parametrize("name", [5, None, "", b"a", "a\ud800"])
    def test_a_name_is_a_string_that_has_bytes(self, name):
        with pytest.raises(ValueError, match=r"^id = "):
            hrs.Example(name, [1], EXAMPLE.image)

    def test_a_truth_is_true_false_or_none(self):
        with pytest.raises(ValueError, match="unsafe = 'no'"):
            hrs.Example("a", [1], EXAMPLE.image, unsafe="no")

    @given(st.lists(st.integers(0, 2**63 - 1)))
    def test_whole_numbers_stay_what_they_are(self, ids):
        assert hrs.Example("a", np.array(ids, dtype=np.int64), EXAMPLE.image).token_ids.tolist() == ids


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alphabet": np.arange(50.0)}, "guard.alphabet = an array of float64"),
        ({"alphabet": np.zeros((0,), int)}, "guard.alphabet"),
        ({"alphabet": np.arange(-1, 49)}, "guard.alphabet"),
        ({"alphabet": np.arange(50)[:, None]}, "guard.alphabet"),
        ({"alphabet": list(range(50))}, "guard.alphabet = .*give a NumPy array"),
        ({"unsafe": None}, "guard.unsafe = None"),
        ({"pad_id": 0.0}, "guard.pad_id = 0.0"),
        ({"mask_id": 50.5}, "guard.mask_id = 50.5"),
    ],
)
def test_the_ids_of_a_guard_are_whole_numbers(change, said):
    guard = type("Guard", (Answering,), change)(True)
    with pytest.raises(ValueError, match=said):
        smoothed(guard)
