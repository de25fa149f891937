"""Tables: standardised on training rows alone, categories within their alphabets, splits that share nothing."""

from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest

from hybrid_rs.tables import adult_files, data as tabular


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
    off = np.abs(data.numeric * data.scale + data.centre - frame[list(data.numeric_names)].to_numpy())
    assert np.all(off.max(axis=0) <= data.steps / 2 + 1e-9)
    whole = [name != "logpopul" for name in data.numeric_names]
    assert off[:, whole].max() < 1e-9  # every other value is on its lattice
    for place, (column, names) in enumerate(data.categories.items()):
        assert [names[code] for code in data.codes[:, place]] == [f"{x:g}" for x in frame[column]]
        assert len(names) == data.sizes[place] == len(set(names))


def test_values_cannot_be_changed(data):
    with pytest.raises(ValueError, match="read-only"):
        data.codes[0, 0] = 1


def stand_in(rows=60):
    """The columns of Adult, invented, with a missing category."""
    rng = np.random.default_rng(0)
    numbers = {name: rng.integers(0, 90, rows) for name in adult_files.NUMERIC}
    words = {name: pd.Categorical(rng.choice(["a", "b", "c"], rows)) for name in adult_files.CATEGORICAL}
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
    assert data.numeric_names == adult_files.NUMERIC
    assert tuple(data.categories) == adult_files.CATEGORICAL
    assert len(data.numeric_names) + len(data.categories) == 14
    assert data.categories["occupation"] == ("a", "b", "c", "?")
    assert data.codes[3, adult_files.CATEGORICAL.index("occupation")] == 3
    assert np.array_equal(data.labels, frame["class"] == ">50K")


def test_without_a_network_adult_says_what_to_do(monkeypatch):
    def fetch(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(ConnectionError, match=r"adult: OpenML cannot be reached .*no route.*adult.data.*fair\(\)"):
        tabular.adult()


def as_published(frame, *, end="", header=False):
    """Lines as the UCI files have them."""
    rows = frame.astype(object).where(frame.notna(), "?")
    columns = [*adult_files.COLUMNS, "class"]
    head = [", ".join(columns)] if header else ["|1x3 Cross validator", ""]
    return "\n".join([*head, *(", ".join(map(str, row)) + end for row in rows[columns].itertuples(index=False))]) + "\n"


def test_adult_is_read_from_its_published_files_with_their_own_split(tmp_path):
    frame = stand_in()
    train, test = frame[:40], frame[40:]
    (tmp_path / "adult.data").write_text(as_published(train, header=True))
    (tmp_path / "adult.test").write_text(as_published(test, end="."))
    data = tabular.adult(tmp_path)
    assert sorted(data.train) == list(range(40))
    assert sorted(data.test) == list(range(40, 60))
    assert list(data.test) != sorted(data.test)  # shuffled: the first rows are a sample
    assert np.array_equal(data.labels, frame["class"] == ">50K")
    np.testing.assert_allclose(data.numeric * data.scale + data.centre, frame[list(adult_files.NUMERIC)], atol=1e-9)
    assert [data.categories["occupation"][code] for code in data.codes[:, 3]] == [
        "?" if word is None or word != word else word for word in frame["occupation"].astype(object)
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("39, Private", r"adult.data, line 1 = 39, Private: give 14 features and <=50K or >50K"),
        (", ".join(["x"] * 14) + ", >50K", r"adult.data, line 1, age = 'x': give a whole number"),
        ("|", "the file has no rows"),
    ],
)
def test_a_line_that_is_not_of_adult_is_named(tmp_path, line, message):
    (tmp_path / "adult.data").write_text(line)
    with pytest.raises(ValueError, match=message):
        tabular.adult(tmp_path)


def test_a_missing_file_of_adult_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file adult.data"):
        tabular.adult(tmp_path)


@pytest.mark.parametrize("test", [np.zeros(60, bool), np.ones(60, bool), np.ones(59, bool), [True] * 60])
def test_a_published_split_has_two_parts(test):
    columns = {"numeric": ["age"], "categorical": ["sex"], "labels": np.arange(60) % 2}
    with pytest.raises(ValueError, match=r"test = .*: give True for some of the rows"):
        tabular.from_frame("x", stand_in(), test=test, **columns)


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
