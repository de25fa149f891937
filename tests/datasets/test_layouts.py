"""The layouts of Hateful Memes, MM-SafetyBench and Hugging Face folders, written as their authors do, and spoiled."""

import json
import shutil
import sys

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value

from hybrid_rs.datasets import load_hateful_memes, load_hugging_face, load_mm_safetybench
from hybrid_rs.datasets.layouts import guessed_layout, jsonl_of, load_any

WATCHED = ("pickle.find_class", "socket.connect", "socket.getaddrinfo", "subprocess.Popen")
SEEN = []


def _watch(event, arguments):
    if event in WATCHED:
        SEEN.append((event, arguments))


sys.addaudithook(_watch)  # Python has no way to remove it again


@pytest.fixture
def memes(tmp_path, image_bytes):
    """A folder as Hateful Memes comes; the test split has no labels."""
    (tmp_path / "img").mkdir()
    for i in (42953, 1235, 8291, 46971):
        (tmp_path / "img" / f"{i:05d}.png").write_bytes(image_bytes(seed=i))
    for split, ids, labels in (("train", (42953, 1235), (0, 1)), ("test_seen", (8291, 46971), (None, None))):
        rows = [
            {"id": i, "img": f"img/{i:05d}.png", **({} if label is None else {"label": label}), "text": f"meme {i}"}
            for i, label in zip(ids, labels, strict=True)
        ]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_hateful_memes(memes):
    train, test = load_hateful_memes(memes, "train"), load_hateful_memes(memes, "test_seen")
    assert [(e.id, e.text, e.unsafe) for e in train] == [
        ("hateful_memes/train/42953", "meme 42953", False),
        ("hateful_memes/train/1235", "meme 1235", True),
    ]
    assert [e.unsafe for e in test] == [None, None]
    assert train.entries[1].image == (memes / "img" / "01235.png").resolve()


def test_which_of_several_files_is_not_guessed(memes, tmp_path_factory):
    assert jsonl_of(memes / "train.jsonl") == (memes / "train.jsonl", {})
    for folder, number in ((memes, 2), (tmp_path_factory.mktemp("none"), 0)):
        with pytest.raises(ValueError, match=rf"it holds {number} \.jsonl files; give the path of one"):
            jsonl_of(folder)


def test_hateful_memes_without_an_image(memes):
    (memes / "img" / "42953.png").unlink()
    data = load_hateful_memes(memes, "train", on_problem="skip")
    assert [str(p) for p in data.problems] == ["train.jsonl, line 1 (id 42953): there is no file 'img/42953.png'"]
    assert len(data) == 1


def test_hateful_memes_elsewhere(memes, tmp_path_factory):
    for path, split in ((memes, "dev_seen"), (memes, "val"), (memes / "none", "train"), ("user/repo", "train")):
        with pytest.raises(ValueError, match=r"path =|split ="):
            load_hateful_memes(path, split)
    out = tmp_path_factory.mktemp("out") / "dev_seen.jsonl"
    out.write_bytes((memes / "train.jsonl").read_bytes())
    (memes / "dev_seen.jsonl").symlink_to(out)
    with pytest.raises(ValueError, match="by a link"):
        load_hateful_memes(memes, "dev_seen")


SCENARIOS = ("01-Illegal_Activitiy", "13-Gov_Decision")


@pytest.fixture
def safetybench(tmp_path, image_bytes):
    """The folder ``data`` of MM-SafetyBench, two scenarios of three questions."""
    (tmp_path / "processed_questions").mkdir()
    for s, scenario in enumerate(SCENARIOS):
        questions = {
            str(i): {
                "Question": f"q {i}",
                "Changed Question": f"c {i}",
                "Key Phrase": "k",
                "Phrase Type": "activity",
                "Rephrased Question": f"r {i}",
                "Rephrased Question(SD)": f"rsd {i}",
            }
            for i in range(3)
        }
        (tmp_path / "processed_questions" / f"{scenario}.json").write_text(json.dumps(questions))
        for k, kind in enumerate(("SD", "SD_TYPO", "TYPO")):
            folder = tmp_path / "imgs" / scenario / kind
            folder.mkdir(parents=True)
            for i in range(3):
                (folder / f"{i}.jpg").write_bytes(image_bytes(fmt="JPEG", seed=9 * s + 3 * k + i))
    return tmp_path


@pytest.mark.parametrize(("kind", "word"), [("SD", "rsd"), ("SD_TYPO", "r"), ("TYPO", "r")])
def test_mm_safetybench(safetybench, kind, word):
    data = load_mm_safetybench(safetybench, kind)
    assert [e.id for e in data] == [f"mm_safetybench/{s}/{kind}/{i}" for s in SCENARIOS for i in range(3)]
    assert [e.text for e in data] == [f"{word} {i}" for _ in SCENARIOS for i in range(3)]
    assert all(e.unsafe for e in data)
    assert {e.image.parent.name for e in data} == {kind}
    chosen = load_mm_safetybench(safetybench, kind, SCENARIOS[1:])
    assert chosen.entries == data.entries[3:]


def test_the_repository_is_found_and_its_short_list_chooses(safetybench, tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(safetybench, root / "data")
    listed = [{"Scenario": SCENARIOS[0], "Sampled_ID_List": [2, 0]}, {"Scenario": SCENARIOS[1], "Sampled_ID_List": []}]
    (root / "TinyVersion_ID_List.json").write_text(json.dumps(listed))
    assert load_mm_safetybench(root).entries == load_mm_safetybench(root / "data").entries
    for path in (root, root / "data"):
        assert [e.id[-1] for e in load_mm_safetybench(path, tiny=True)] == ["0", "2"]
    with pytest.raises(ValueError, match=r"tiny = True: there is no file TinyVersion_ID_List.json"):
        load_mm_safetybench(safetybench, tiny=True)
    (root / "TinyVersion_ID_List.json").write_text('{"Scenario": 1}')
    with pytest.raises(ValueError, match=r"tiny = True: .* is not a list of Scenario"):
        load_mm_safetybench(root, tiny=True)


def test_harmless_repeats_of_mm_safetybench_are_kept_and_reported(safetybench):
    file = safetybench / "processed_questions" / f"{SCENARIOS[0]}.json"
    values = json.loads(file.read_text())
    values["2"] = values["1"]
    file.write_text(json.dumps(values))
    images = safetybench / "imgs" / SCENARIOS[0] / "SD_TYPO"
    (images / "2.jpg").write_bytes((images / "1.jpg").read_bytes())
    data = load_mm_safetybench(safetybench)
    assert len(data) == 6
    assert data.problems == ()
    assert [str(repeat) for repeat in data.repeats] == [
        f"{SCENARIOS[0]}, question 2: image and text of {SCENARIOS[0]}, question 1 again"
    ]
    assert "repeats, kept: 1" in data.report


def test_mm_safetybench_as_parquet(tmp_path, image_bytes):
    for s, scenario in enumerate(("Illegal_Activitiy", "Gov_Decision")):
        rows = {
            "id": [str(i) for i in range(3)],
            "question": [f"q {i}" for i in range(3)],
            "image": [{"bytes": image_bytes(seed=3 * s + i), "path": None} for i in range(3)],
        }
        (tmp_path / "data" / scenario).mkdir(parents=True)
        Dataset.from_dict(rows).cast_column("image", Image()).to_parquet(tmp_path / "data" / scenario / "SD.parquet")
    data = load_mm_safetybench(tmp_path, "SD")
    assert [e.id for e in data] == [
        f"mm_safetybench/{s}/SD/{i}" for s in ("Gov_Decision", "Illegal_Activitiy") for i in range(3)
    ]
    assert all(e.unsafe for e in data)
    (tmp_path / "TinyVersion_ID_List.json").write_text(
        json.dumps([{"Scenario": "01-Illegal_Activitiy", "Sampled_ID_List": ["1"]}])
    )
    assert [e.text for e in load_mm_safetybench(tmp_path, "SD", tiny=True)] == ["q 1"]
    alone = load_hugging_face(tmp_path / "data" / "Gov_Decision" / "SD.parquet", text="question")
    assert [(e.id, e.text, e.unsafe) for e in alone] == [(f"SD/{i}", f"q {i}", None) for i in range(3)]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"bad.parquet: give a Parquet file"):
        load_hugging_face(tmp_path / "bad.parquet")


def test_a_data_set_is_loaded_by_the_layout_that_its_files_show(safetybench, tmp_path_factory, image_bytes):
    assert load_any(safetybench).entries == load_mm_safetybench(safetybench).entries
    assert len(load_any(safetybench, first=2)) == 2
    home = tmp_path_factory.mktemp("other")
    rows = {
        "text": ["a", "b"],
        "label": [1, 0],
        "image": [{"bytes": image_bytes(seed=i), "path": None} for i in (1, 2)],
    }
    Dataset.from_dict(rows).cast_column("image", Image()).to_parquet(home / "rows.parquet")
    assert [(e.text, e.unsafe) for e in load_any(home / "rows.parquet")] == [("a", True), ("b", False)]
    (home / "a.png").write_bytes(image_bytes(seed=1))
    (home / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": "c"}))
    assert [e.text for e in load_any(home)] == ["c"]
    (home / "data" / "Malware").mkdir(parents=True)
    (home / "data" / "Malware" / "TYPO.parquet").write_bytes(b"")
    (home / "metadata.jsonl").unlink()
    assert guessed_layout(home) == "mm-safetybench"


def test_no_more_is_opened_than_is_wanted(safetybench, memes):
    for number in (1, 2):
        (safetybench / "imgs" / SCENARIOS[0] / "SD_TYPO" / f"{number}.jpg").write_bytes(b"no image")
    (safetybench / "processed_questions" / f"{SCENARIOS[1]}.json").write_text("no JSON")
    assert [e.id[-1] for e in load_mm_safetybench(safetybench, first=1)] == ["0"]
    with pytest.raises(ValueError, match="it is not JSON"):
        load_mm_safetybench(safetybench, first=2)
    (memes / "img" / "01235.png").unlink()
    assert len(load_hateful_memes(memes, "train", first=1)) == 1
    with pytest.raises(ValueError, match="first = 0"):
        load_hateful_memes(memes, "train", first=0)


def test_a_scenario_may_be_named_without_its_number_and_an_unknown_one_is_told_what_there_is(safetybench):
    for name in (SCENARIOS[0], SCENARIOS[0].partition("-")[2]):
        assert {e.id.split("/")[1] for e in load_mm_safetybench(safetybench, scenarios=[name])} == {SCENARIOS[0]}
    with pytest.raises(ValueError, match=f"scenarios = '99-None': no such scenario; give some of {SCENARIOS[0]}"):
        load_mm_safetybench(safetybench, scenarios=["99-None"], on_problem="skip")


def test_mm_safetybench_spoiled(safetybench):
    first, second = (safetybench / "processed_questions" / f"{s}.json" for s in SCENARIOS)
    first.write_text(first.read_text()[:-30])
    values = json.loads(second.read_text())
    values["0"].pop("Rephrased Question")
    values["../../13-Gov_Decision/SD/1"] = values["1"]
    second.write_text(json.dumps(values))
    data = load_mm_safetybench(safetybench, scenarios=SCENARIOS, on_problem="skip")
    assert [e.id[-1] for e in data] == ["1", "2"]
    reasons = [str(problem) for problem in data.problems]
    found = (
        "Activitiy.json: it is not JSON",
        "question 0: there is no field",
        "leads out of",
    )
    assert len(reasons) == len(found)
    assert all(text in reason for text, reason in zip(found, reasons, strict=True))


def test_mm_safetybench_elsewhere(safetybench):
    for path, kind in ((safetybench.parent, "SD"), (safetybench, "OCR"), (safetybench / "imgs", "SD")):
        with pytest.raises(ValueError, match=r"path =|kind ="):
            load_mm_safetybench(path, kind)


@pytest.fixture
def rows(image_bytes):
    """Columns of a data set whose last two images are broken and missing."""
    pictures = [{"bytes": image_bytes(seed=i), "path": None} for i in range(3)]
    pictures += [{"bytes": b"broken", "path": None}, None]
    return {"image": pictures, "text": [f"t {i}" for i in range(5)], "label": [0, 1, None, 1, 0]}


FEATURES = Features({"image": Image(decode=False), "text": Value("string"), "label": Value("int64")})


@pytest.mark.parametrize("decode", [False, True])
def test_a_saved_data_set_of_hugging_face(tmp_path, rows, decode):
    saved = Dataset.from_dict(rows, features=Features(FEATURES | {"image": Image(decode=decode)}))
    saved.save_to_disk(tmp_path / "alone")
    DatasetDict({"validation": saved}).save_to_disk(tmp_path / "splits")
    SEEN.clear()
    alone = load_hugging_face(tmp_path / "alone", on_problem="skip")
    split = load_hugging_face(tmp_path / "splits", "validation", on_problem="skip")
    assert SEEN == []  # no pickle was loaded, nothing was connected to or started
    assert [e.id for e in alone] == [f"alone/{i}" for i in range(3)]
    assert [e.id for e in split] == [f"splits/validation/{i}" for i in range(3)]
    assert [(e.text, e.unsafe, e.image) for e in alone] == [(e.text, e.unsafe, e.image) for e in split]
    assert [e.unsafe for e in alone] == [False, True, None]
    assert [e.image for e in alone] == [picture["bytes"] for picture in rows["image"][:3]]
    assert [p.name for p in alone.problems] == ["row 3", "row 4"]
    with pytest.raises(ValueError, match="row 3"):
        load_hugging_face(tmp_path / "alone")


def test_the_watch_sees_a_pickle():
    import pickle

    SEEN.clear()
    assert pickle.loads(pickle.dumps(Value("string"))) == Value("string")
    assert SEEN[0][0] == "pickle.find_class"


def test_a_path_in_a_row_may_not_leave_the_folder(tmp_path, rows, image_bytes):
    home, secret = tmp_path / "home", tmp_path / "secret.png"
    secret.write_bytes(image_bytes())
    names = [str(secret), "../secret.png", "a.png"]
    features = Features({"image": {"bytes": Value("binary"), "path": Value("string")}, "text": Value("string")})
    columns = {"image": [{"bytes": None, "path": name} for name in names], "text": ["t"] * 3}
    Dataset.from_dict(columns, features=features).save_to_disk(home)
    shutil.copy(secret, home / "a.png")
    data = load_hugging_face(home, on_problem="skip")
    assert [e.image for e in data] == [(home / "a.png").resolve()]
    assert all("leads out" in problem.reason for problem in data.problems)


def test_a_folder_that_names_files_outside_is_refused(tmp_path, rows):
    Dataset.from_dict(rows, features=FEATURES).save_to_disk(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    state = json.loads((tmp_path / "two" / "state.json").read_text())
    state["_data_files"][0]["filename"] = "../one/" + state["_data_files"][0]["filename"]
    (tmp_path / "two" / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="leads out of the folder"):
        load_hugging_face(tmp_path / "two", on_problem="skip")


def test_other_and_broken_folders_are_refused(tmp_path, rows):
    Dataset.from_dict(rows, features=FEATURES).save_to_disk(tmp_path / "good")
    (table,) = (tmp_path / "good").glob("*.arrow")
    for name, spoil in {
        "cut": lambda f: (f / table.name).write_bytes(table.read_bytes()[:200]),
        "gone": lambda f: (f / table.name).unlink(),
        "state": lambda f: (f / "state.json").write_text("{"),
        "keys": lambda f: (f / "state.json").write_text("{}"),
    }.items():
        shutil.copytree(tmp_path / "good", tmp_path / name)
        spoil(tmp_path / name)
        with pytest.raises(ValueError, match="save_to_disk"):
            load_hugging_face(tmp_path / name, on_problem="skip")
    for column in ("image", "text", "label"):
        with pytest.raises(ValueError, match=f"{column} = 'picture'"):
            load_hugging_face(tmp_path / "good", **{column: "picture"})
    for path in (tmp_path / "none", "user/repo", "s3://bucket/set"):
        with pytest.raises(ValueError, match="nothing is downloaded"):
            load_hugging_face(path)


@pytest.mark.parametrize("names", [["unsafe", "safe"], ["hate", "no hate"], ["cat", "dog"], ["safe", "unsafe", "?"]])
def test_names_of_classes_that_do_not_say_that_1_is_unsafe_are_refused(tmp_path, rows, names):
    def load(names):
        kinds = Features(FEATURES | {"label": ClassLabel(names=names)})
        Dataset.from_dict(rows, features=kinds).save_to_disk(tmp_path / names[0])
        return load_hugging_face(tmp_path / names[0], on_problem="skip")

    assert [entry.unsafe for entry in load(["Not hateful", "Hateful"])] == [False, True, None]
    with pytest.raises(ValueError, match="name class 0 safe and class 1 unsafe"):
        load(names)


def test_a_list_of_images_is_one_short_problem(tmp_path, image_bytes):
    pictures = [{"bytes": image_bytes(size=(99, 99), seed=seed), "path": None} for seed in (0, 1)]
    kinds = Features({"image": List(Image(decode=False)), "text": Value("string")})
    Dataset.from_dict({"image": [pictures], "text": ["t"]}, features=kinds).save_to_disk(tmp_path / "two")
    (problem,) = load_hugging_face(tmp_path / "two", on_problem="skip").problems
    assert str(problem) == "row 0: there is a list of 2 images; one is needed"
