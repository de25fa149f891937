"""Entries: what is good comes back as it was written, and what is not is named, skipped or refused."""

import json
import os
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from hybrid_rs.datasets import load_jsonl
from hybrid_rs.datasets.entries import Record, checked, inside
from hybrid_rs.datasets.images import read_image
from hybrid_rs.datasets.jsonl import MAX_LINE


def words(text):
    """A tokenizer: the length of each word."""
    return [len(word) for word in text.split()]


def test_good_entries_come_back_as_written(write_jsonl, image_bytes):
    images = {f"img/bild-{name}.png": image_bytes(seed=i) for i, name in enumerate(["ä", "画像", "a b", "🦊"])}
    texts = ["zwölf Fässer", "危険 な 荷物", "", "two\nlines 🦊"]
    lines = [
        {"image": name, "text": text, "label": label, "id": f"nº{i}"}
        for i, (name, text, label) in enumerate(zip(images, texts, (1, False, None, 0.0), strict=True))
    ]
    data = load_jsonl(write_jsonl(lines, images, name="sät.jsonl"))
    assert data.problems == ()
    assert [entry.id for entry in data] == [f"sät/nº{i}" for i in range(4)]
    assert [entry.text for entry in data] == texts
    assert [entry.unsafe for entry in data] == [True, False, None, False]
    assert data.report == "entries: 4 (1 unsafe, 2 safe, 1 unlabelled); problems: 0"
    for entry, encoded, example in zip(data, images.values(), data.examples(words, (8, 12)), strict=True):
        np.testing.assert_array_equal(example.image, read_image(encoded))
        assert example.token_ids.tolist() == words(entry.text)
        assert example.token_ids.dtype == np.int64
        assert (example.unsafe, example.text) == (entry.unsafe, entry.text)


def test_an_entry_that_the_encoder_does_not_know_is_named(write_jsonl, image_bytes):
    data = load_jsonl(
        write_jsonl([{"image": "img/a.png", "text": "hello", "id": "first"}], {"img/a.png": image_bytes()})
    )
    said = r"entry .*first: encode failed with KeyError: 'hello' \(test_entries.py, line \d+\): correct its code"
    with pytest.raises(ValueError, match=said):
        next(data.examples(lambda text: [{"is": 1}[word] for word in text.split()], (8, 12)))


BROKEN = {
    "missing image": ({"image": "no.png", "text": "t"}, "there is no file 'no.png'"),
    "a folder": ({"image": "img", "text": "t"}, "there is no file 'img'"),
    "no image field": ({"text": "t"}, "there is no field 'image'"),
    "no text field": ({"image": "img/a.png"}, "there is no field 'text'"),
    "text is a number": ({"image": "img/a.png", "text": 3}, "the text is int"),
    "text is null": ({"image": "img/a.png", "text": None}, "the text is NoneType"),
    "half a surrogate": ('{"image": "img/a.png", "text": "\\ud800"}', "not valid Unicode"),
    "two images": ({"image": ["img/a.png"] * 2, "text": "t"}, "['img/a.png', 'img/a.png']; an entry has one image"),
    "image is a list": ({"image": ["img/a.png"], "text": "t"}, "the image is a list, ['img/a.png']; an entry has one"),
    "image is a number": ({"image": 3, "text": "t"}, "3 is not a path"),
    "image is empty": ({"image": "", "text": "t"}, "is not a path"),
    "a null byte": ({"image": "img/a.png\0", "text": "t"}, "is not a path"),
    "label two": ({"image": "img/a.png", "text": "t", "label": 2}, "the label is 2"),
    "label in words": ({"image": "img/a.png", "text": "t", "label": "1"}, "the label is '1'"),
    "label nan": ('{"image": "img/a.png", "text": "t", "label": NaN}', "the label is nan"),
    "id is a list": ({"image": "img/a.png", "text": "t", "id": [1]}, "the id is [1]"),
    "id is true": ({"image": "img/a.png", "text": "t", "id": True}, "the id is True"),
    "cut off": ('{"image": "img/a.png", "te', "not JSON"),
    "no object": ("[1, 2]", "not a JSON object"),
    "a name twice": ('{"image": "img/a.png", "text": "t", "label": 0, "label": 1}', "'label' occurs twice"),
    "UTF-16": ('{"image": "img/a.png", "text": "t"}'.encode("utf-16"), "UTF-16"),
    "label true in words": ({"image": "img/a.png", "text": "t", "label": "unsafe"}, "the label is 'unsafe'"),
    "label minus one": ({"image": "img/a.png", "text": "t", "label": -1}, "the label is -1"),
    "a name of a megabyte": ({"image": "x" * 900_000, "text": "t"}, "there is no file 'xxx"),
    "escapes": ({"image": "\x1b[2J\n.png", "text": "t"}, r"no file '\x1b[2J\n.png'"),
    "nested": ("[" * 100_000, "not JSON"),
    "not UTF-8": (b'{"image": "img/a.png", "text": "\xff"}', "not UTF-8"),
    "up": ({"image": "../secret.png", "text": "t"}, "leads out of the folder"),
    "down and up": ({"image": "img/../../secret.png", "text": "t"}, "leads out of the folder"),
    "up as on Windows": ({"image": "img\\..\\..\\secret.png", "text": "t"}, "leads out of the folder"),
    "absolute": ({"image": "/etc/hostname", "text": "t"}, "leads out of the folder"),
    "a drive": ({"image": "C:/secret.png", "text": "t"}, "leads out of the folder"),
    "no image file": ({"image": "img/text.png", "text": "t"}, "not an image of format"),
    "empty image": ({"image": "img/empty.png", "text": "t"}, "the file is empty"),
    "truncated": ({"image": "img/cut.png", "text": "t"}, "broken"),
    "too large": ({"image": "img/large.png", "text": "t"}, "more than max_pixels = 100"),
    "the same id": ({"image": "img/b.png", "text": "t", "id": "good"}, "the id of mine.jsonl, line 1 (id good) again"),
    "the same content": ({"image": "img/copy.png", "text": "fine"}, "image and text of mine.jsonl, line 1"),
}


@pytest.fixture
def images(image_bytes):
    return {
        "img/a.png": image_bytes(),
        "img/b.png": image_bytes(seed=1),
        "img/copy.png": image_bytes(),
        "img/cut.png": image_bytes(seed=2)[:-40],
        "img/large.png": image_bytes(size=(11, 10)),
        "img/empty.png": b"",
        "img/text.png": b"GIF? no",
    }


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_entry_is_named_and_skipped_or_refused_and_the_others_stay(write_jsonl, images, case):
    line, reason = BROKEN[case]
    good = [{"image": f"img/{x}.png", "text": "fine", "id": name} for x, name in (("a", "good"), ("b", "last"))]
    path = write_jsonl([good[0], line, good[1]], images)
    data = load_jsonl(path, on_problem="skip", max_pixels=100)
    assert [entry.id for entry in data] == ["mine/good", "mine/last"]
    (problem,) = data.problems
    assert problem.name.startswith("mine.jsonl, line 2")
    assert reason in problem.reason
    assert str(problem) in data.report
    with pytest.raises(ValueError, match=r"mine\.jsonl, line 2"):
        load_jsonl(path, max_pixels=100)


def test_a_message_is_short_and_changes_nothing_on_a_terminal(write_jsonl, images):
    lines = [
        {"image": "x" * 900_000, "text": "t"},
        {"image": "img/a.png", "text": "t", "id": "\x1b[31m\u202e\nmine.jsonl, line 7: forged" + "x" * 900_000},
        {"image": "img/a.png", "text": "t", "label": ["x" * 900_000]},
        {"image": "img/a.png", "text": "t", "id": list(range(200_000))},
    ]
    report = load_jsonl(write_jsonl([*lines, lines[1]], images), on_problem="skip").report
    assert len(report.splitlines()) == 5
    assert max(map(len, report.splitlines())) < 1000
    assert all(letter.isprintable() for letter in report.replace("\n", ""))


@pytest.mark.parametrize("how", ["refuse", "skip"])
def test_a_field_that_was_named_and_that_no_line_has_is_refused(write_jsonl, images, how):
    path = write_jsonl([{"image": "img/a.png", "text": "t", "is_unsafe": 0}], images)
    assert load_jsonl(path).entries[0].unsafe is None
    assert load_jsonl(path, label="is_unsafe").entries[0].unsafe is False
    for field in ("label", "id"):
        with pytest.raises(ValueError, match=rf"{field} = 'is-unsafe': no line of mine\.jsonl .* 'is_unsafe'"):
            load_jsonl(path, **{field: "is-unsafe"}, on_problem=how)


def test_a_byte_order_mark_is_no_part_of_the_text(write_jsonl, images):
    line = json.dumps({"image": "img/a.png", "text": "t"}).encode()
    assert load_jsonl(write_jsonl([b"\xef\xbb\xbf" + line], images)).entries[0].text == "t"


def test_refusing_lists_every_problem_and_gives_nothing(write_jsonl, images):
    path = write_jsonl([line for line, _ in BROKEN.values()], images)
    with pytest.raises(ValueError, match="on_problem") as refused:
        load_jsonl(path, max_pixels=100)
    skipped = load_jsonl(path, max_pixels=100, on_problem="skip")
    assert len(str(refused.value).splitlines()) == 22  # a head, twenty of them, and how many more
    assert len(skipped) + len(skipped.problems) == len(BROKEN)


@given(before=st.lists(st.sampled_from(sorted(BROKEN)), max_size=6), good=st.integers(0, 2))
def test_every_line_is_an_entry_or_a_problem(tmp_path_factory, before, good):
    folder = tmp_path_factory.mktemp("mixed")
    lines = [line for line, _ in (BROKEN[case] for case in before)] + [{"image": "no.png", "text": "t"}] * good
    raw = [x if isinstance(x, bytes) else (x if isinstance(x, str) else json.dumps(x)).encode() for x in lines]
    (folder / "m.jsonl").write_bytes(b"\n\n".join(raw) + b"\n")
    data = load_jsonl(folder / "m.jsonl", on_problem="skip")
    assert len(data) == 0
    assert len(data.problems) == max(1, len(lines))


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_an_empty_file_is_a_problem(tmp_path, content):
    (tmp_path / "none.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match="it has no entries"):
        load_jsonl(tmp_path / "none.jsonl")
    assert len(load_jsonl(tmp_path / "none.jsonl", on_problem="skip").problems) == 1


def test_links_may_lead_about_the_folder_but_not_out_of_it(tmp_path, image_bytes):
    root, out = tmp_path / "data", tmp_path / "secret.png"
    (root / "img").mkdir(parents=True)
    (root / "img" / "a.png").write_bytes(image_bytes())
    out.write_bytes(image_bytes())
    (root / "inner.png").symlink_to("img/a.png")
    (root / "outer.png").symlink_to(out)
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.png").symlink_to("loop.png")
    assert inside(root, "inner.png") == (root / "img" / "a.png").resolve()
    for name in ("outer.png", "folder/secret.png", "folder/data/../secret.png", "loop.png"):
        with pytest.raises((ValueError, OSError)):
            inside(root, name)
    alias = tmp_path / "alias"
    alias.symlink_to(root)  # the user's own way to the folder is the user's affair
    assert inside(alias, "img/a.png") == (root / "img" / "a.png").resolve()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="there is no file"):
        inside(tmp_path, "pipe.png")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with a file ``x`` at every depth within and without, and links that lead out."""
    base = tmp_path_factory.mktemp("tree")
    root = base / "root"
    (root / "a" / "root").mkdir(parents=True)
    for folder in (base, root, root / "a", root / "a" / "root"):
        (folder / "x").write_text("x")
    (root / "out").symlink_to(base)
    (root / "a" / "out").symlink_to("../..")
    return root


PARTS = st.sampled_from(["..", ".", "", "a", "x", "out", "root"])


@given(parts=st.lists(PARTS, max_size=6), slash=st.sampled_from(["/", "\\", "//"]))
def test_a_path_is_found_within_the_folder_or_not_at_all(tree, parts, slash):
    name = slash.join(parts)
    try:
        found = inside(tree, name)
    except ValueError:
        return
    assert found.is_relative_to(tree.resolve())
    assert ".." not in parts


def test_a_line_that_is_too_long_costs_itself_alone(write_jsonl, images):
    long = {"image": "img/b.png", "text": "x" * (2 * MAX_LINE)}
    lines = [{"image": "img/a.png", "text": "t"}, long, {"image": "img/b.png", "text": "t"}]
    data = load_jsonl(write_jsonl(lines, images), on_problem="skip")
    assert [entry.id for entry in data] == ["mine/1", "mine/3"]
    assert "longer than" in data.problems[0].reason


def test_an_examples_id_follows_from_what_the_guard_is_shown(write_jsonl, image_bytes):
    """Stored counts go by the id: those of one content must never serve another."""

    def id_of(text="t", seed=0, size=(8, 8), fit="stretch"):
        path = write_jsonl([{"image": "a.png", "text": text}], {"a.png": image_bytes(seed=seed)})
        (example,) = load_jsonl(path).examples(words, size, fit=fit)
        return example.id

    assert id_of() == id_of()
    others = [id_of(), id_of(text="u"), id_of(seed=1), id_of(size=(8, 9)), id_of(fit="pad")]
    assert len(set(others)) == len(others)
    assert all(name.startswith("mine/1@") for name in others)


def test_a_file_that_changed_since_it_was_checked_is_named(write_jsonl, image_bytes):
    path = write_jsonl([{"image": "a.png", "text": "t"}], {"a.png": image_bytes()})
    data = load_jsonl(path)
    (path.parent / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="entry mine/1: the file is empty"):
        next(data.examples(words, (8, 8)))


def test_arguments_out_of_range_and_missing_files_are_refused(write_jsonl, images, tmp_path):
    path = write_jsonl([{"image": "img/a.png", "text": "t"}], images)
    for options in ({"on_problem": "ignore"}, {"max_pixels": 0}, {"root": tmp_path / "none"}):
        with pytest.raises(ValueError, match=r"on_problem|max_pixels|root ="):
            load_jsonl(path, **options)
    for missing in (tmp_path / "none.jsonl", tmp_path, "https://example.org/a.jsonl"):
        with pytest.raises(ValueError, match="nothing is downloaded"):
            load_jsonl(missing)


def test_an_image_folder_of_hugging_face_is_such_a_file(write_jsonl, images):
    lines = [{"file_name": "a.png", "caption": "t"}]
    path = write_jsonl(lines, images, name="img/metadata.jsonl")
    (entry,) = load_jsonl(path, image="file_name", text="caption")
    assert (entry.id, entry.text, entry.unsafe) == ("metadata/1", "t", None)


def test_images_may_lie_elsewhere_if_the_user_says_so(write_jsonl, images, tmp_path):
    (tmp_path / "notes").mkdir()
    path = write_jsonl([{"image": "img/a.png", "text": "t"}], images, name="notes/mine.jsonl")
    with pytest.raises(ValueError, match="there is no file"):
        load_jsonl(path)
    assert len(load_jsonl(path, root=tmp_path)) == 1


def test_a_repeat_is_a_problem_unless_it_is_to_be_kept_and_harmless(tmp_path, image_bytes):
    (tmp_path / "a.png").write_bytes(image_bytes(seed=1))
    records = [Record(f"line {i}", f"x/{i}", "t", "a.png", label) for i, label in enumerate((1, 1, 0))]
    refused = checked(records, tmp_path, on_problem="skip")
    assert [len(refused), len(refused.problems), len(refused.repeats)] == [1, 2, 0]
    kept = checked(records, tmp_path, on_problem="skip", keep_repeats=True)
    assert [entry.id for entry in kept] == ["x/0", "x/1"]
    assert [str(problem) for problem in kept.problems] == ["line 2: image and text of line 0 again"]
    assert [repeat.name for repeat in kept.repeats] == ["line 1"]
    twice = [records[0], Record("line 9", "x/0", "t", "a.png", 1)]
    assert len(checked(twice, tmp_path, on_problem="skip", keep_repeats=True)) == 1  # the same id


def test_an_image_may_keep_its_own_size_and_then_has_a_name_of_its_own(write_jsonl, image_bytes):
    images = {"wide.png": image_bytes(size=(40, 10)), "tall.png": image_bytes(size=(6, 9))}
    data = load_jsonl(write_jsonl([{"image": name, "text": "a text"} for name in images], images))
    own, reduced = (list(data.examples(words, None, max_side=longest)) for longest in (None, 20))
    assert [example.image.shape for example in own] == [(3, 10, 40), (3, 9, 6)]
    assert [example.image.shape for example in reduced] == [(3, 5, 20), (3, 9, 6)]
    for encoded, example in zip(images.values(), own, strict=True):
        np.testing.assert_array_equal(example.image, read_image(encoded))
    assert own[0].id != reduced[0].id
    assert own[1].id == reduced[1].id == next(iter(data.entries[1:])).example([1], (9, 6)).id  # the same pixels
    stock = list(data.examples(words, None, look="stock"))
    assert all(a.id != b.id for a, b in zip(own, stock, strict=True))
    for options, message in (
        ({"image_size": None, "fit": "pad"}, "fit = 'pad': an image that keeps its shape needs no fit"),
        ({"image_size": (8, 8), "max_side": 9}, "max_side = 9: all images have one size"),
        ({"image_size": None, "max_side": 0}, "max_side = 0: give a whole number of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            data.entries[0].example([1], **options)


@pytest.mark.parametrize("size", [(40, 60), (7, 21), (1, 3), (333, 111)])
def test_an_image_of_the_guards_shape_is_the_same_example_however_others_are_fitted(write_jsonl, size):
    """A way of fitting that makes no difference makes no other draws either."""
    file = BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (3 * size[0], 3 * size[1], 3), dtype=np.uint8)).save(file, "PNG")
    (entry,) = load_jsonl(write_jsonl([{"image": "a.png", "text": ""}], {"a.png": file.getvalue()}))
    made = [entry.example([], size, fit=fit) for fit in ("stretch", "crop", "pad")]
    assert len({example.id for example in made}) == 1
    for example in made[1:]:
        np.testing.assert_array_equal(example.image, made[0].image)
    other = [entry.example([], (size[0], size[1] + 1), fit=fit).id for fit in ("stretch", "crop", "pad")]
    assert len(set(other)) == 3
