"""Tables: standardised on training rows alone, categories within their alphabets, splits that share nothing."""

from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest

from hybrid_rs.tables import data as tabular


@pytest.fixture(scope="module", params=["fair", "election"])
def data(request):
    return getattr(tabular, request.param)()


def test_splits_share_no_row_and_cover_all(data):
    rows = np.concatenate([data.train, data.test])
    assert np.array_equal(np.sort(rows), np.arange(len(data.labels)))
    assert len(data.test) == round(tabular.TEST_SHARE * len(rows))
    shares = [data.labels[part].mean() for part in (data.train, data.test, data.test[: len(data.test) // 2])]
    assert np.ptp(shares) < 0.1  # the first rows are a sample of all


def test_numbers_are_standardised_with_the_training_rows_alone(data):
    train, test = data.numeric[data.train], data.numeric[data.test]
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-12)
    assert np.abs(test.mean(axis=0)).max() > 1e-6


def test_codes_index_their_alphabets_and_numbers_return_to_their_units(data):
    carried = {"fair": "fair", "election": "anes96"}[data.name]
    frame = tabular._statsmodels(carried)
    np.testing.assert_allclose(data.numeric * data.scale + data.centre, frame[list(data.numeric_names)], atol=1e-9)
    for place, (column, names) in enumerate(data.categories.items()):
        assert [names[code] for code in data.codes[:, place]] == [f"{x:g}" for x in frame[column]]
        assert len(names) == data.sizes[place] == len(set(names))


def test_values_cannot_be_changed(data):
    with pytest.raises(ValueError, match="read-only"):
        data.codes[0, 0] = 1


def stand_in(rows=60):
    """The columns of Adult, invented, with a missing category."""
    rng = np.random.default_rng(0)
    numbers = {name: rng.integers(0, 90, rows) for name in (*tabular.ADULT_NUMERIC, "fnlwgt")}
    words = {
        name: pd.Categorical(rng.choice(["a", "b", "c"], rows)) for name in (*tabular.ADULT_CATEGORICAL, "education")
    }
    frame = pd.DataFrame(numbers | words | {"class": rng.choice(["<=50K", ">50K"], rows)})
    frame.loc[3, "occupation"] = None
    return frame


def test_adult_is_read_as_openml_gives_it(monkeypatch):
    frame, asked = stand_in(), []

    def fetch(name, **options):
        asked.append((name, options["version"]))
        return type("Bunch", (), {"frame": frame})

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    data = tabular.adult()
    assert asked == [("adult", 2)]
    assert data.numeric_names == tabular.ADULT_NUMERIC
    assert tuple(data.categories) == tabular.ADULT_CATEGORICAL
    assert data.categories["occupation"] == ("a", "b", "c", "?")
    assert data.codes[3, tabular.ADULT_CATEGORICAL.index("occupation")] == 3
    assert np.array_equal(data.labels, frame["class"] == ">50K")


def test_without_a_network_adult_says_what_to_do(monkeypatch):
    def fetch(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(ConnectionError, match=r"adult: OpenML cannot be reached .*no route.*fair\(\)"):
        tabular.adult()


@pytest.mark.parametrize(
    ("numeric", "categorical", "message"),
    [
        (["agee"], ["sex"], "numeric = 'agee'"),
        (["one"], ["sex"], "numeric = 'one'"),
        (["gap"], ["sex"], "numeric = 'gap'"),
        (["age"], ["one"], "categorical = 'one'"),
    ],
)
def test_errors_name_the_column(numeric, categorical, message):
    frame = stand_in().assign(one=1.0, gap=np.nan)
    with pytest.raises(ValueError, match=message):
        tabular.from_frame("x", frame, numeric=numeric, categorical=categorical, labels=np.zeros(len(frame)))
