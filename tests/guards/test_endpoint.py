"""A served guard is asked with the clipped image and the text in words; faults that pass are waited out."""

import json
import math
import pickle
import re
import threading
from base64 import b64decode
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_models import tokenizer

import hybrid_rs as hrs
from hybrid_rs.cli.loading import Checkpoint
from hybrid_rs.cli.showing import note
from hybrid_rs.guards.endpoint import EndpointGuard
from hybrid_rs.guards.spelling import MASK, Letters, Tokens
from hybrid_rs.guards.transport import Transport
from hybrid_rs.guards.wording import Wording

QUICK = Transport(at_once=4, retries=3, wait=0.01, timeout=5.0)
SIZE = (6, 8)


def judged(levels, words):
    """What the served model thinks: bright images and exclamation marks are unsafe."""
    return 8 * (levels.mean() / 255 - 0.5) + words.count("!") - 0.5


class Server(ThreadingHTTPServer):
    """A server of one model, which remembers what it was asked."""

    daemon_threads = True

    def __init__(self):
        self.asked, self.faults, self.answer, self.answers, self.about = [], [], None, [], {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.faults:
            status, head, *body = self.server.faults.pop()
            self.reply(status, *body or [b'{"error": "busy"}'], head, cut=5 if status == 200 else 0)
            return
        assert self.path == "/v1/chat/completions"
        self.server.asked.append((asked, self.headers.get("Authorization")))
        [image, *texts] = asked["messages"][0]["content"]
        with Image.open(BytesIO(b64decode(image["image_url"]["url"].split(",")[1]))) as picture:
            levels = np.asarray(picture, dtype=np.float64)
        gap = judged(levels, "".join(part["text"] for part in texts))
        shares = {" unsafe": 0.75, "Unsafe": 0.25}  # two spellings share the mass of one word
        unsafe = 1 / (1 + math.exp(-gap))
        listed = [{"token": token, "logprob": math.log(share * unsafe)} for token, share in shares.items()]
        listed += [{"token": "safe", "logprob": math.log(1 - unsafe)}, {"token": "The", "logprob": -30.0}]
        made = {"choices": [{"logprobs": {"content": [{"token": "safe", "top_logprobs": listed}]}}]}
        made |= self.server.about
        answer = self.server.answers.pop() if self.server.answers else self.server.answer or made
        self.reply(200, answer.raw if isinstance(answer, SimpleNamespace) else json.dumps(answer).encode(), {})

    def reply(self, status, data, head, cut=0):
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def guard(server):
    return EndpointGuard(server.url, "small", SIZE, transport=QUICK)


def listing(*listed):
    """An answer that lists these tokens with their log-probabilities."""
    top = [{"token": token, "logprob": value} for token, value in listed]
    return {"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}


def clipped(images):
    return np.rint(255 * np.clip(images.astype(np.float64), 0, 1))


def expected(guard, texts, images):
    words = [guard.spelling.decode(text) for text in texts]
    return np.array([judged(levels, text) for levels, text in zip(clipped(images), words, strict=True)])


def test_scores_are_those_of_the_clipped_image_and_the_words(guard, server):
    rng = np.random.default_rng(0)
    texts = rng.choice(guard.alphabet, (12, 9))
    images = rng.normal(0.5, 1.0, (5, 3, *SIZE)).astype(np.float32)
    index = rng.integers(0, 5, 12)
    scores = guard.scores(texts, images, index)
    np.testing.assert_allclose(scores, expected(guard, texts, images[index]), rtol=1e-5)
    np.testing.assert_array_equal(guard.unsafe(texts, images, index), scores > 0)
    assert 0 < (scores > 0).sum() < 12
    asked = server.asked[0][0]
    assert (asked["model"], asked["max_tokens"], asked["temperature"], asked["top_logprobs"]) == ("small", 1, 0, 20)
    assert "add_generation_prompt" not in asked


def test_noise_on_the_lattice_arrives_as_it_is_but_for_clipping(guard):
    """So the smoothed guard that is certified is that of a guard in this process with the same clipping."""

    class Here:
        alphabet, pad_id, mask_id = guard.alphabet, guard.pad_id, guard.mask_id

        def unsafe(self, token_ids, images):
            return expected(guard, token_ids, images) > 0

    example = hrs.Example("a", guard.encode("is it"), np.full((3, *SIZE), 150 / 255, np.float32))
    for kernel in (hrs.UniformKernel(0.25, 95), hrs.AbsorbingKernel(0.5)):
        served, here = (
            hrs.SmoothedGuard(each, kernel, 0.5, hrs.SuffixThreat(2), noise="lattice") for each in (guard, Here())
        )
        counts = served.sample(example, 64)
        assert counts == here.sample(example, 64)
        assert 0 < counts.unsafe[0] < 64


def test_the_first_further_try_is_told_and_only_that_one(guard, server):
    told = []
    telling = replace(guard, transport=replace(QUICK, note=told.append))
    server.faults = [(503, {})] * 3
    telling.tried()
    server.faults = [(503, {})]
    telling.tried()
    [line] = told
    assert line.startswith(f"endpoint = {server.url}: status 503: ")
    assert line.endswith("each request is tried up to 4 times, with 5 s for an answer (--retries, --timeout)")


def test_an_answer_of_another_kind_is_quoted_and_not_taken_for_another_model(guard, server):
    server.about = {"model": "small"}
    guard.tried()
    server.answer = {"choices": []}
    with pytest.raises(ValueError, match=r"answer = \{'choices': \[\]\}: the server must list log-probabilities"):
        guard.tried()
    page = f"<html>{'no ' * 50}</html>".encode()
    server.answer = SimpleNamespace(raw=page)
    with pytest.raises(ValueError, match=r"its answer '<html>no [no ]+' is not JSON .*; give the address .* up to /v1"):
        guard.tried()


def test_an_answer_that_breaks_off_is_asked_for_again(guard, server):
    server.faults = [(200, {})] * 2
    assert guard.unsafe(guard.encode("!" * 20)[None], np.zeros((1, 3, *SIZE), np.float32)).tolist() == [True]
    assert server.faults == []
    server.faults = [(200, {})] * 4
    with pytest.raises(OSError, match=r"no answer after 4 tries; the last fault: IncompleteRead"):
        guard.tried()


def test_no_other_server_is_asked(guard, server, monkeypatch):
    """A key must not go where a redirection says, and an answer from there is another server's."""
    with Server() as other:
        server.faults = [(302, {"Location": f"{other.url}/chat/completions"})]
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
        with pytest.raises(ValueError, match=r"it refuses the request, status 302: .*; give the address .* up to /v1"):
            guard.tried()
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real\nkey")
    with pytest.raises(ValueError, match=r"OPENAI_API_KEY = \(not shown\): give a key without line breaks"):
        guard.tried()
    assert server.asked == []


@pytest.mark.parametrize("name", ["model", "system_fingerprint"])
def test_a_server_that_becomes_another_one_is_refused(guard, server, name):
    server.about = {name: "first"}
    guard.tried()
    server.about = {name: "second"}
    with pytest.raises(ValueError, match=f"{name} = 'second': the server said 'first' before"):
        guard.tried()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_that_passes_is_waited_out(guard, server, status):
    image = np.zeros((1, 3, *SIZE), np.float32)
    server.faults = [(status, {"Retry-After": "0.02"}), (status, {})]
    assert guard.unsafe(guard.encode("!" * 20)[None], image).tolist() == [True]
    server.faults = [(status, {})] * 4
    with pytest.raises(OSError, match=rf"no answer after 4 tries; the last fault: status {status}: .*busy"):
        guard.unsafe(guard.encode("a")[None], image)


def test_a_fault_that_stays_is_said_at_once(guard, server):
    server.faults = [(404, {})] * 2
    with pytest.raises(
        ValueError, match=r"it refuses the request, status 404: .*busy.*; give the address .* /v1.*model"
    ):
        guard.unsafe(guard.encode("a")[None], np.zeros((1, 3, *SIZE), np.float32))
    assert len(server.faults) == 1
    server.faults = [(401, {})]
    with pytest.raises(ValueError, match=r"status 401: .*; set the environment variable OPENAI_API_KEY to"):
        guard.tried()
    nobody = replace(guard, url="http://127.0.0.1:9/v1", transport=replace(QUICK, retries=1))
    with pytest.raises(OSError, match=r"no answer after 2 tries; the last fault: .*refused"):
        nobody.tried()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"choices": [{"logprobs": None}]}, "the server must list log-probabilities"),
        ({"choices": [{"message": {"content": "unsafe"}}]}, "the server must list log-prob"),  # transformers serve
        ({"choices": []}, "the server must list log-probabilities"),
        (["text"], "the server must list log-probabilities"),
        (listing(("The", -0.1)), "answers = .*of 1 listed tokens the likeliest are 'The'; give answers that are one"),
        (listing(("safe", "-0.1"), ("unsafe", -2.0)), r"top_logprobs = 'safe': '-0.1': the server must list tokens"),
        (listing(("safe", True), ("unsafe", -2.0)), "top_logprobs = 'safe': True: the server must list tokens"),
        (listing(("safe", 2.5), ("unsafe", -2.0)), "top_logprobs = 'safe': 2.5: the server must list .*none above 0"),
        (listing((7, -0.1), ("unsafe", -2.0)), "top_logprobs = 7: -0.1: the server must list tokens"),
        # llama.cpp sent null for every token of a network whose scores were not numbers
        (listing(("safe", None), ("unsafe", -2.0)), "top_logprobs = 'safe': None: the server must list tokens"),
        (listing(("safe", math.nan), ("unsafe", -2.0)), "its answer .* is not JSON .NaN is not a JSON number.$"),
        (
            listing(("safe", -0.1), *((str(i), -5.0) for i in range(19))),
            "answers = .*of 20 listed tokens the likeliest",
        ),
    ],
)
def test_an_answer_without_a_verdict_is_an_error(guard, server, answer, message):
    server.answer = answer
    with pytest.raises(ValueError, match=message):
        guard.tried()


def test_answers_of_real_servers_are_read(guard):
    """As vLLM 0.32.0 sent one: more fields, special tokens as empty texts; and the log 0 in the source of llama.cpp."""
    bytes_of = {"safe": [115, 97, 102, 101], " unsafe": [32, 117, 110, 115, 97, 102, 101], "": []}
    listed = [{"token": token, "logprob": -1.5 * i, "bytes": each} for i, (token, each) in enumerate(bytes_of.items())]
    first = {"token": "safe", "logprob": 0.0, "bytes": bytes_of["safe"], "top_logprobs": listed}
    message = {"role": "assistant", "content": "safe", "refusal": None, "reasoning": None}
    vllm = {"choices": [{"index": 0, "message": message, "logprobs": {"content": [first]}, "finish_reason": "length"}]}
    assert guard.score_of(vllm) == -1.5
    least = -3.4028234663852886e38  # of a probability that is 0 in 32 bits
    llama = listing(("safe", 0.0), *((f"{i}", -9.0) for i in range(17)), ("", least), ("unsafe", least))
    assert guard.score_of(llama) == least


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"Requested sample logprobs of 20, which is greater than max allowed: 5'
        b' (parameter=logprobs, value=20)","type":"BadRequestError","param":"logprobs","code":400}}',
        b'{"error":{"code":400,"message":"request (15037 tokens) exceeds the available context size (2048 tokens),'
        b' try increasing it","type":"exceed_context_size_error","n_prompt_tokens":15037,"n_ctx":2048}}',
    ],
    ids=["vLLM", "llama.cpp"],
)
def test_a_refusal_of_a_real_server_is_quoted_whole_and_not_repeated(guard, server, body):
    server.faults = [(400, {}, body)] * 2
    with pytest.raises(ValueError, match="it refuses the request, status 400: " + re.escape(body.decode()) + "$"):
        guard.tried()
    assert len(server.faults) == 1


def test_two_scores_of_one_question_are_told(guard, server):
    """So it was with llama.cpp, which reads the second prompt from its cache: 1.6e-4 apart."""
    told = []
    telling = replace(guard, transport=replace(QUICK, note=told.append))
    telling.tried()
    assert told == []
    server.answers = [listing(("safe", -0.1), ("unsafe", value)) for value in (-3.0, -3.00016)]
    telling.tried()
    [line] = told
    assert "one question got two scores, 0.0002 apart; verdicts so close to the margin are not repeatable" in line
    server.answers = [listing(("safe", -0.6), ("unsafe", value)) for value in (-0.7, -0.5)]
    with pytest.raises(ValueError, match=r"endpoint = scores .*: the server answers one question in two ways"):
        guard.tried()


def test_what_is_missing_for_a_verdict_is_said(guard):
    others = [(str(i), -5.0) for i in range(20)]
    with pytest.raises(ValueError, match=r"likeliest are '0', .*; a noisy input made the model begin another answer"):
        guard.score_of(listing(*others))
    with pytest.raises(ValueError, match=r"likeliest are '0', .*; give answers that are one token each"):
        guard.score_of(listing(*others), both=True)
    with pytest.raises(ValueError, match="serve without --return-tokens-as-token-ids"):
        guard.score_of(listing(*((f"token_id:{i}", -5.0) for i in range(20))), both=True)


@pytest.mark.parametrize("verdict", ["unsafe", "safe"])
def test_an_undecided_answer_counts_as_the_user_says_and_only_if_neither_word_is_there(guard, server, verdict):
    decided = replace(guard, undecided=verdict, margin=-5.0 if verdict == "safe" else 5.0)
    others = [(str(i), -5.0) for i in range(20)]
    assert abs(decided.score_of(listing(*others))) > 1e5
    server.answer = listing(*others)
    texts, images = np.full((1, 2), 44), np.zeros((1, 3, *SIZE), np.float32)
    assert decided.unsafe(texts, images).tolist() == [verdict == "unsafe"]
    one_word = listing(("Unsafe", -3.0), *others[:18], ("a", -6.0))
    assert decided.score_of(one_word) == guard.score_of(one_word) == 3.0
    with pytest.raises(ValueError, match="give answers that are one token each"):
        decided.tried()
    with pytest.raises(ValueError, match="of 1 listed tokens"):
        decided.score_of(listing(("unsafe", -0.01)))
    with pytest.raises(ValueError, match="--undecided unsafe or safe"):
        guard.score_of(listing(*others))


def test_a_word_that_is_not_listed_is_less_likely_than_all_that_are(guard):
    others = [("The", -0.1), *((str(i), -3.5) for i in range(17)), ("a", -4.0)]
    assert guard.score_of(listing(("Unsafe", -3.0), *others)) == 1.0
    assert guard.score_of(listing((" safe", -3.0), *others)) == -1.0


def test_a_short_list_must_hold_both_words(guard):
    """In it the least log-probability bounds nothing: "unsafe" alone would be as likely as a word that is missing."""
    assert guard.score_of(listing(("Unsafe", -1.0), ("safe", -3.0))) == 2.0
    with pytest.raises(ValueError, match="of 1 listed tokens the likeliest are 'unsafe'"):
        guard.score_of(listing(("unsafe", -0.01)))


@pytest.mark.parametrize(
    ("texts", "pixels", "index", "message"),
    [
        (np.full((1, 2), 44), np.full((1, 3, 2, 2), np.nan), None, "images = .*: give finite pixels"),
        (np.full(2, 44), np.zeros((2, 3, 2, 2)), None, r"token_ids = \(2,\): give shape"),
        (np.full((2, 2), 44), np.zeros((1, 3, 2, 2)), None, "image_index = .*: give an index from 0 to 0"),
        (np.full((1, 2), 44), np.zeros((1, 3, 2, 2)), [-1], "image_index = .*: give an index from 0 to 0"),
        (np.full((1, 2), 44), np.zeros((1, 1, 2, 2)), None, "images = .*: give shape"),
    ],
)
def test_what_cannot_be_asked_is_refused(guard, server, texts, pixels, index, message):
    with pytest.raises(ValueError, match=message):
        guard.scores(texts, pixels, index)
    assert server.asked == []


def test_words_of_the_prompt_and_a_forced_beginning_are_sent(server):
    words = Wording("Policy.", "User: ", "\nEnd.", "Answer:", ("No", "Yes"))
    guard = EndpointGuard(server.url, "small", SIZE, wording=words, transport=QUICK)
    with pytest.raises(ValueError, match="answers = "):
        guard.scores(guard.encode("hello")[None], np.zeros((1, 3, *SIZE), np.float32))
    asked = server.asked[0][0]
    assert [part["text"] for part in asked["messages"][0]["content"][1:]] == ["Policy.", "User: hello\nEnd."]
    assert asked["messages"][1] == {"role": "assistant", "content": "Answer:"}
    assert (asked["add_generation_prompt"], asked["continue_final_message"]) == (False, True)
    alone = EndpointGuard(server.url, "small", None, wording=Wording("Policy.", reads_text=False), transport=QUICK)
    assert alone.encode("hello").size == 0
    alone.scores(np.empty((1, 0), dtype=np.int64), np.zeros((1, 3, 5, 7), np.float32))
    assert [part["text"] for part in server.asked[-1][0]["messages"][0]["content"][1:]] == ["Policy."]
    example = hrs.Example("a", alone.encode("hello"), np.zeros((3, 5, 7), np.float32))
    with pytest.raises(ValueError, match="1 tokens with its slot: the guard judges the image alone"):
        hrs.SmoothedGuard(alone, hrs.UniformKernel(0.25, 95), 0.5, hrs.SuffixThreat(1)).sample(example, 1)


def test_a_key_comes_from_the_environment_and_is_in_no_identity(guard, server, monkeypatch):
    before = guard.identity
    guard.tried()
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    guard.tried()
    assert [key for _, key in server.asked] == [None] * 2 + ["Bearer not-a-real-key"] * 2
    assert replace(guard).identity == before
    assert "not-a-real-key" not in repr(guard)


def test_its_identity_covers_what_is_asked_and_what_the_user_says_of_the_server(guard):
    others = [
        {"url": "http://127.0.0.1:1/v1"}, {"served": "large"}, {"image_size": None}, {"version": "2"},
        {"wording": Wording("Policy.")}, {"spelling": Tokens(tokenizer("<s>"), np.arange(20, 40), 21, None)},
        {"undecided": "unsafe"}, {"undecided": "safe"},
    ]  # fmt: skip
    assert len({guard.identity} | {replace(guard, **other).identity for other in others}) == 9
    assert replace(guard, transport=Transport()).identity == guard.identity


def test_tokens_of_a_tokenizer_give_the_text_back(tmp_path):
    tokenizer("<s>").save_pretrained(tmp_path)
    tokens = Tokens.load(tmp_path, "printable", 3, "?")
    words = "is the picture safe"
    assert tokens.decode(tokens.encode(words)) == words
    assert tokens.decode(np.array([tokens.mask_id])) == "?"
    assert max(len(tokens.decode(np.array([token]))) for token in tokens.alphabet) == 3
    assert tokens.pad_id in tokens.alphabet
    spaced = tokenizer("<s>", "</s>", bos="<s>")
    with pytest.raises(ValueError, match="its tokens decode to another text"):
        Tokens(spaced, np.arange(5, 20), 6, None).encode("  é ")
    letters = Letters()
    assert letters.decode(np.array([letters.mask_id])) == MASK
    assert letters.mask_id not in letters.alphabet


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "file:///etc/passwd"}, "url = 'file:///etc/passwd': give an address such as http"),
        ({"url": "localhost:8000"}, "give an address such as http"),
        ({"served": ""}, "served = '': give the name of the model"),
        ({"margin": math.nan}, "margin = nan"),
        ({"margin": 1e6}, "margin = 1000000.0: give a number between"),
        ({"undecided": "maybe"}, "undecided = 'maybe': give one of"),
        ({"image_size": 8}, "image_size = 8"),
        ({"wording": "Policy."}, "wording = 'Policy.': give a Wording"),
        ({"spelling": "letters"}, "spelling = 'letters': give"),
        ({"transport": None}, "transport = None: give a Transport"),
    ],
)
def test_what_is_no_server_is_refused(guard, change, message):
    with pytest.raises(ValueError, match=message):
        replace(guard, **change)


def test_the_command_line_asks_the_server_and_a_worker_asks_it_too(server, tmp_path):
    tokenizer("<s>").save_pretrained(tmp_path)
    chosen = {"served": "small", "image_size": "6x8", "margin": 1.0, "tokenizer": tmp_path, "mask": "?", "requests": 2}
    chosen |= {"retries": 1, "timeout": 9.5, "undecided": "unsafe"}
    checkpoint = Checkpoint(endpoint=server.url, **chosen)
    there = pickle.loads(pickle.dumps(checkpoint.load))()
    assert isinstance(there, EndpointGuard)
    assert (there.image_size, there.margin, there.undecided) == (SIZE, 1.0, "unsafe")
    sent = there.transport
    assert (sent.at_once, sent.retries, sent.timeout, sent.note) == (2, 1, 9.5, note)
    assert there.identity == checkpoint.name
    assert len(server.asked) == 4  # each asked one question twice
    for wrong, message in (
        ({"served": None}, "served = None: give the model's name at the endpoint"),
        ({"image_size": None}, "image_size = None: give one with --endpoint"),
        ({"dtype": "bfloat16"}, "dtype = bfloat16: the server decides this itself"),
        ({"tokenizer": Path("nowhere")}, "tokenizer = 'nowhere': there is no such folder; give one with the files"),
        ({"timeout": 0}, "timeout = 0"),
        ({"timeout": math.inf}, "timeout = inf: give at most 86400 seconds"),
        ({"tokenizer": None}, "mask = \\?: it is about tokens: give --tokenizer, too"),
    ):
        with pytest.raises(ValueError, match=message):
            Checkpoint(endpoint=server.url, **chosen | wrong)
    with pytest.raises(ValueError, match="endpoint = 'localhost:8000': give an address such as http"):
        Checkpoint(endpoint="localhost:8000", **chosen)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"tokenizer = .*empty: give a folder with the files of a tokenizer"):
        Tokens.load(tmp_path / "empty")
    with pytest.raises(ValueError, match="retries = 2: it is about a server: leave it out without --endpoint"):
        Checkpoint(model="bay_guard", retries=2)
    with pytest.raises(ValueError, match="served = small: it is about a server: leave it out without --endpoint"):
        Checkpoint(model="bay_guard", served="small")
