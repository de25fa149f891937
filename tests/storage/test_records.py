"""What all stores share: no line of anyone is lost, none that is not ours is touched."""

import errno
import fcntl
import json
import os

import pytest

from hybrid_rs.storage import records as module
from hybrid_rs.storage.records import SCHEMA, Records, local, records, sealed


def line(of, found=1):
    return {"schema": SCHEMA, "of": of, "found": found}


def test_every_cut_is_a_line_to_make_again(tmp_path):
    path = tmp_path / "deep" / "r.jsonl"
    records(path, ["found"]).append([line(1), line(2)])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = records(path, ["found"])
        assert path.read_bytes() == whole[:cut]  # to open a file changes nothing: another run may be writing the rest
        kept.append(row for row in (line(1), line(2)) if kept.get(row) is None)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "notes", ["my notes", '{"id": 3, "te', '{"schema": 1, "p_a": 0.9}', sealed(line(1)) + "\nmy notes"]
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path, notes):
    path = tmp_path / "notes"
    path.write_text(notes)
    with pytest.raises(ValueError, match=r"notes, after line \d = .*: give another file"):
        records(path, ["found"])
    assert path.read_text() == notes
    for whole in ("my notes\n", '{"of": 1}\n', sealed({"schema": SCHEMA, "of": 1}) + "\n", "[1]\n", "\n"):
        path.write_text(whole)
        with pytest.raises(
            ValueError, match=r"notes, line 1.*: (give another file|remove the line|.*if a run wrote it)"
        ):
            records(path, ["found"])
        assert path.read_text() == whole


def test_notes_that_came_meanwhile_are_left_alone_too(tmp_path):
    path = tmp_path / "r.jsonl"
    kept = records(path, ["found"])
    path.write_text("my notes")
    with pytest.raises(ValueError, match="give another file"):
        kept.append([line(1)])
    assert path.read_text() == "my notes"


def test_a_folder_and_another_schema_are_one_clear_message(tmp_path):
    with pytest.raises(ValueError, match=r"path = .*: this is a folder; give a file"):
        records(tmp_path, ["found"])
    path = tmp_path / "r.jsonl"
    path.write_text(sealed(line(1) | {"schema": 99}) + "\n")
    with pytest.raises(ValueError, match=r"line 1: schema = 99: this version reads 3; give another file, and what"):
        records(path, ["found"])


def test_the_lines_of_another_run_are_seen_and_not_written_again(tmp_path):
    path = tmp_path / "r.jsonl"
    ours, theirs = records(path, ["found"]), records(path, ["found"])
    theirs.append([line(1)])
    ours.append([line(1, found=2), line(2)])  # the first that was found counts
    assert ours.get({"schema": SCHEMA, "of": 1})["found"] == 1
    assert theirs.get({"schema": SCHEMA, "of": 2}) is None
    theirs.read()
    assert theirs.get({"schema": SCHEMA, "of": 2})["found"] == 1
    assert len(path.read_text().splitlines()) == 2


def test_a_file_that_cannot_be_locked_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OSError, match=r"r\.jsonl: it cannot be locked .* \(No locks available\)"):
        records(tmp_path / "r.jsonl", ["found"]).append([line(1)])
    assert (tmp_path / "r.jsonl").read_bytes() == b""


def test_a_value_is_merged_with_the_one_that_is_known(tmp_path):
    def longest():
        return Records(tmp_path / "r.jsonl", ["found"], lambda row: row["found"], lambda a, b: b if b > a else a)

    kept = longest()
    for found in (3, 5, 4):
        kept.append([line(1, found)])
    assert longest().get(line(1)) == kept.get(line(1)) == 5
    assert len(kept.path.read_text().splitlines()) == 2  # the third said nothing new


def test_a_file_of_the_book_is_read_and_what_it_lacks_goes_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "DATA", tmp_path)
    path = tmp_path / "counts" / "quick.jsonl"
    path.parent.mkdir()
    published = sealed(line(1)) + "\n"
    path.write_text(published)
    kept = records(path, ["found"])
    kept.append([line(1), line(2)])
    assert path.read_text() == published
    assert local(path).read_text() == sealed(line(2)) + "\n"
    assert "quick.local.jsonl" in capsys.readouterr().err
    again = records(path, ["found"])
    assert len(again) == 2
    again.append([line(3)])
    assert len(local(path).read_text().splitlines()) == 2
    assert "lacks" not in capsys.readouterr().err
    assert local(tmp_path / "mine.jsonl") == tmp_path / "mine.jsonl"


def test_a_line_that_was_changed_or_has_no_checksum_is_refused_by_number(tmp_path):
    path = tmp_path / "r.jsonl"
    good, changed = sealed(line(1)), sealed(line(2)).replace('"found": 1', '"found": 2')
    for bad in (changed, json.dumps(line(2)), json.dumps(line(2) | {"check": 0})):
        path.write_text(f"{good}\n{bad}\n")
        with pytest.raises(ValueError, match=r"r.jsonl, line 2: check = .*: the line was changed"):
            records(path, ["found"])
    for bad in (good.replace('"of": 1', '"of": 1, "of": 1'), good.replace('"of": 1', '"of": NaN')):
        path.write_text(f"{good}\n{bad}\n")
        with pytest.raises(ValueError, match=r"r.jsonl, line 2 = "):
            records(path, ["found"])


def test_lines_of_one_file_that_disagree_are_refused_and_the_first_that_is_written_counts(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(f"{sealed(line(1))}\n{sealed(line(1))}\n")
    assert records(path, ["found"]).get(line(1))["found"] == 1
    path.write_text(f"{sealed(line(1))}\n{sealed(line(1, found=2))}\n")
    with pytest.raises(ValueError, match="line 2: it disagrees with an earlier line"):
        records(path, ["found"])


def test_what_json_has_no_number_for_is_not_written(tmp_path):
    path = tmp_path / "r.jsonl"
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            records(path, ["found"]).append([line(1, found=value)])
    assert not path.read_bytes()


def test_a_newline_that_was_lost_is_noticed(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(f"{sealed(line(1))}\n{sealed(line(2))}*")
    with pytest.raises(ValueError, match="after line 1"):
        records(path, ["found"])
