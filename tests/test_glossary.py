"""Every term of the glossary has a sentence or two, and a page that exists."""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[1] / "book"
(BODY,) = re.findall(r"^```\{glossary\}\n(.*?)^```", (BOOK / "glossary.md").read_text(), re.MULTILINE | re.DOTALL)
ENTRIES = [entry.split("\n  ", 1) for entry in BODY.strip().split("\n\n")]


def test_terms_are_in_order():
    plain = [re.sub(r"[^a-z0-9 -]", "", re.sub(r"\\\w+", "", terms.splitlines()[-1].lower())) for terms, _ in ENTRIES]
    assert plain == sorted(plain)
    assert len(plain) == len(set(plain)) > 30


@pytest.mark.parametrize(("terms", "text"), ENTRIES, ids=lambda part: part.splitlines()[0][:20])
def test_a_term_is_explained_in_one_to_three_sentences_and_linked(terms, text):
    said = " ".join(text.split())
    assert 1 <= len(re.findall(r"\.(?: |$)", said)) <= 3
    links = re.findall(r"\]\(([^)#]+)", said)
    assert links
    for link in links:
        experiment = link.replace("experiments/", "../notebooks/experiments/")  # pages that the build makes
        assert (BOOK / (experiment if link.startswith("experiments/") else link)).is_file()


def test_terms_that_pages_use_are_in_the_glossary():
    known = {line for terms, _ in ENTRIES for line in terms.splitlines()}
    used = set()
    for page in BOOK.glob("*.md"):
        for content in re.findall(r"\{term\}`([^`]+)`", page.read_text()):
            used.add(re.sub(r".*<(.*)>", r"\1", " ".join(content.split())))
    assert used <= known
    assert len(used) >= 10
