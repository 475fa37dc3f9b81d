"""Reward models for real, in this process and behind a server: tiny random ones, whose scores mean nothing.

What is tested is the way: that the number which the model gives, and no other, becomes the score. The server is ours
and answers as vLLM 0.32 does; a real vLLM is asked by `make test-vllm`.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

import tiny_gguf
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers import HttpRequest, OutcomeReward, ProcessReward, RewardFormat, StepFormat, Work
from rheostat.evidence.verifiers import Verdict
from rheostat.task import Difficulty, Task

sys.path.insert(0, str(Path(__file__).parents[1] / "vllm_job"))

TASK = Task(question="What is 2 + 2?", difficulty=Difficulty(score=0.1, kind="maths", reasons=()))
ANSWERS = [
    Candidate(id=str(number), answer="4", text=text)
    for number, text in enumerate(
        ["4", "Two and two.\n\nThat makes 4.", "It is five.\n\nNo: four.\n\nThe answer is 4."]
    )
]
TEXT = RewardFormat(text="{question} {answer}")


class Tiny:
    """A model, its tokenizer, and its numbers computed directly."""

    def __init__(self, folder: str, model: Any) -> None:
        from transformers import AutoTokenizer

        self.folder, self.model, self.tokenizer = folder, model, AutoTokenizer.from_pretrained(folder)

    def logits(self, text: Any, **more: Any) -> Any:
        """[labels] of a sequence classifier, [tokens, labels] of others; and the tokens."""
        ids = self.tokenizer(*([text] if isinstance(text, str) else text), return_tensors="pt", **more)["input_ids"]
        with torch.no_grad():
            output = self.model(input_ids=ids)
        return (output[0] if isinstance(output, tuple) else output.logits)[0], ids[0].tolist()

    def chat(self, messages: Any) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are slower on many threads, where tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    from transformers import AutoModelForSequenceClassification

    import tiny_reward

    folder = str(tmp_path_factory.mktemp("outcome"))
    tiny_reward.outcome(folder)
    return Tiny(folder, AutoModelForSequenceClassification.from_pretrained(folder).eval())


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    from transformers import AutoModelForTokenClassification

    import tiny_reward

    folder = str(tmp_path_factory.mktemp("steps"))
    tiny_reward.steps(folder)
    return Tiny(folder, AutoModelForTokenClassification.from_pretrained(folder).eval())


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    import tiny_reward

    folder = str(tmp_path_factory.mktemp("process"))
    tiny_reward.process(folder)
    return Tiny(folder, tiny_reward.load_process(folder))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def chat_of(candidate: Candidate, system: str = "", text: str = "") -> list[dict[str, str]]:
    said = [
        {"role": "user", "content": TASK.question},
        {"role": "assistant", "content": text or candidate.text},
    ]
    return [{"role": "system", "content": system}, *said] if system else said


def expected(tiny: Tiny, candidate: Candidate) -> float:
    """The sigmoid of the logit, computed as the model card of Skywork-Reward-V2 does."""
    return sigmoid(float(tiny.logits(tiny.chat(chat_of(candidate)), add_special_tokens=False)[0][0]))


SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def expected_steps(tiny: Tiny, candidate: Candidate) -> list[float]:
    """The probabilities of class 1 at the marks, computed as the model card of Qwen2.5-Math-PRM does."""
    said = "<extra_0>".join(candidate.text.split("\n\n")) + "<extra_0>"
    logits, ids = tiny.logits(tiny.chat(chat_of(candidate, SYSTEM, said)), add_special_tokens=False)
    mark = tiny.tokenizer.encode("<extra_0>", add_special_tokens=False)
    assert len(mark) == 1
    return [float(row[1]) for row, token in zip(logits.softmax(-1), ids, strict=True) if token == mark[0]]


def scored(scorer: Any, candidate: Candidate) -> Verdict:
    """As the driver does it: work here, requests over HTTP."""
    request = scorer.request(TASK, candidate)
    if isinstance(request, Work):
        return scorer.read(TASK, candidate, request.do())
    assert isinstance(request, HttpRequest)
    with httpx2.Client(timeout=request.seconds, verify=False) as client:  # no TLS on loopback
        reply = client.post(request.url, json=dict(request.body), headers=dict(request.headers))
    return scorer.read(TASK, candidate, reply.json())


# --- in this process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["folder", "model"])
def test_an_outcome_model_here_scores_as_it_does_itself(outcome: Tiny, given: str) -> None:
    scorer = OutcomeReward(local=outcome.folder if given == "folder" else (outcome.model, outcome.tokenizer))
    scores = [scored(scorer, each).score for each in ANSWERS]
    assert scores == pytest.approx([expected(outcome, each) for each in ANSWERS], abs=1e-5)
    assert len({round(score or 0, 3) for score in scores}) == len(ANSWERS)  # they differ, or equality would say nothing


def test_text_and_pairs_here(outcome: Tiny) -> None:
    local = (outcome.model, outcome.tokenizer)
    for how, text in (
        (TEXT, f"{TASK.question} {ANSWERS[1].text}"),
        (RewardFormat(text=lambda question, answer: f"{answer}\n{question}"), f"{ANSWERS[1].text}\n{TASK.question}"),
        (RewardFormat(text="pair"), (TASK.question, ANSWERS[1].text)),
    ):
        verdict = scored(OutcomeReward(local=local, format=how), ANSWERS[1])
        assert verdict.score == pytest.approx(sigmoid(float(outcome.logits(text)[0][0])), abs=1e-5)


@pytest.mark.parametrize("kind", ["steps, folder", "steps, model", "process"])
def test_a_process_model_here_scores_as_it_does_itself(steps: Tiny, process: Tiny, kind: str) -> None:
    tiny = process if kind == "process" else steps
    scorer = ProcessReward(local=tiny.folder if "folder" in kind else (tiny.model, tiny.tokenizer))
    for each in ANSWERS:
        verdict = scored(scorer, each)
        direct = expected_steps(tiny, each)
        assert list(verdict.parts.values()) == pytest.approx(direct, abs=1e-5)
        assert verdict.score == pytest.approx(min(direct), abs=1e-5)


def test_the_wrong_kind_of_model_is_no_score(outcome: Tiny, steps: Tiny) -> None:
    prm = ProcessReward(local=(outcome.model, steps.tokenizer))  # one number for the text
    with pytest.raises(ValueError, match="argument 2 is longer"):
        scored(prm, ANSWERS[1])
    orm = scored(OutcomeReward(local=(steps.model, steps.tokenizer)), ANSWERS[1])  # numbers for every token
    assert orm.score is None
    assert "expected one result for one text" in orm.reason
    unknown = StepFormat(separator="<step_end>", value="softmax", labels=2)
    with pytest.raises(ValueError, match="marked by one"):
        scored(ProcessReward(local=(steps.model, steps.tokenizer), format=unknown), ANSWERS[1])


def test_no_gradient_is_kept(outcome: Tiny) -> None:
    scored(OutcomeReward(local=(outcome.model, outcome.tokenizer)), ANSWERS[0])
    assert all(each.grad is None for each in outcome.model.parameters())


# --- behind a server --------------------------------------------------------------------------------------------------


class Pooling(BaseHTTPRequestHandler):
    """Answers `/classify`, `/score`, `/pooling` and `/rerank` as vLLM 0.32 does (entrypoints/pooling/*/protocol.py)."""

    models: dict[str, Tiny]

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._send(200, self._answer(self.path, body))
        except KeyError as error:
            message = f"The model {error} does not exist."
            self._send(404, {"error": {"message": message, "type": "NotFoundError", "param": None, "code": 404}})

    def _send(self, status: int, said: Any) -> None:
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        tiny = self.models[body["model"]]
        if "messages" in body:
            logits, ids = tiny.logits(tiny.chat(body["messages"]), add_special_tokens=False)
        elif "input" in body:
            logits, ids = tiny.logits(body["input"])
        else:
            pair = (body["text_1"], body["text_2"]) if path == "/score" else (body["query"], body["documents"][0])
            logits, ids = tiny.logits(pair)
        if body.get("task") == "token_classify":  # the STEP pooler
            mark = tiny.tokenizer.convert_tokens_to_ids("<extra_0>")
            logits = logits[[number for number, token in enumerate(ids) if token == mark]]
        if body.get("use_activation") is not False:
            logits = logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)
        data: Any = logits.tolist()
        usage = {"prompt_tokens": len(ids), "total_tokens": len(ids), "completion_tokens": 0}
        whole = {"id": "x", "object": "list", "created": 1, "model": body["model"], "usage": usage}
        if path == "/classify":
            item = {"index": 0, "label": "LABEL_0", "probs": data, "num_classes": len(data)}
        elif path == "/pooling":
            item = {"index": 0, "object": "pooling", "data": data}
        elif path == "/score":
            item = {"index": 0, "object": "score", "score": data[0]}
        else:
            found = {"index": 0, "document": {"text": body["documents"][0]}, "relevance_score": data[0]}
            return {"id": "x", "model": body["model"], "usage": usage, "results": [found]}
        return {**whole, "data": [item]}


@pytest.fixture(scope="module")
def url(outcome: Tiny, steps: Tiny, process: Tiny) -> Iterator[str]:
    Pooling.models = {"outcome": outcome, "steps": steps, "process": process}
    with ThreadingHTTPServer(("127.0.0.1", 0), Pooling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("api", ["classify", "pooling"])
@pytest.mark.parametrize("value", ["logit", "probability"])
def test_a_chat_scores_behind_a_server_as_it_does_itself(outcome: Tiny, url: str, api: Any, value: Any) -> None:
    scorer = OutcomeReward(url=url, model="outcome", api=api, format=RewardFormat(value=value))
    scores = [scored(scorer, each).score for each in ANSWERS]
    assert scores == pytest.approx([expected(outcome, each) for each in ANSWERS], abs=1e-5)


@pytest.mark.parametrize("api", ["score", "rerank"])
@pytest.mark.parametrize("value", ["logit", "probability"])
def test_a_pair_scores_behind_a_server_as_it_does_itself(outcome: Tiny, url: str, api: Any, value: Any) -> None:
    scorer = OutcomeReward(url=url, model="outcome", api=api, format=RewardFormat(text="pair", value=value))
    direct = [sigmoid(float(outcome.logits((TASK.question, each.text))[0][0])) for each in ANSWERS]
    assert [scored(scorer, each).score for each in ANSWERS] == pytest.approx(direct, abs=1e-5)


@pytest.mark.parametrize("kind", ["steps", "process"])
def test_steps_score_behind_a_server_as_they_do_themselves(steps: Tiny, process: Tiny, url: str, kind: str) -> None:
    tiny = {"steps": steps, "process": process}[kind]
    scorer = ProcessReward(url=url, model=kind, reduce="last")
    for each in ANSWERS:
        verdict = scored(scorer, each)
        direct = expected_steps(tiny, each)
        assert list(verdict.parts.values()) == pytest.approx(direct, abs=1e-5)
        assert verdict.score == pytest.approx(direct[-1], abs=1e-5)


def test_an_unknown_model_is_no_score(url: str) -> None:
    verdict = scored(OutcomeReward(url=url, model="sky"), ANSWERS[0])
    assert verdict.score is None
    assert "the server refused" in verdict.reason
    assert "does not exist" in verdict.reason


# --- behind a real llama.cpp ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def llama_cpp(folder: str, work: Path) -> Iterator[str]:
    path = work / "model.gguf"
    tiny_gguf.write_qwen3_classifier(folder, path)
    script = str(Path(__file__).with_name("llama_ranks.py"))
    with subprocess.Popen(
        [sys.executable, script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def test_llama_cpp_scores_as_the_model_does_itself(outcome: Tiny, tmp_path: Path) -> None:
    """It takes the softmax over the labels of a Qwen3 and returns the first."""
    folder = shutil.copytree(outcome.folder, tmp_path / "two")
    tiny_gguf.two_labels(str(folder))
    how = RewardFormat(text="pair", value="probability")
    with llama_cpp(str(folder), tmp_path) as url:
        scorer = OutcomeReward(url=url, model="tiny", server="llama.cpp", api="rerank", format=how)
        scores = [scored(scorer, each).score for each in ANSWERS]
    direct = [sigmoid(2 * float(outcome.logits((TASK.question, each.text))[0][0])) for each in ANSWERS]
    assert scores == pytest.approx(direct, rel=0.05)


def test_llama_cpps_softmax_of_one_label_is_no_score(outcome: Tiny, tmp_path: Path) -> None:
    """For a Qwen3 with one label, as Skywork-Reward-V2-Qwen3 is, it returns 1 whatever the answer."""
    with llama_cpp(outcome.folder, tmp_path) as url:
        scorer = OutcomeReward(url=url, model="tiny", server="llama.cpp", api="rerank", format="skywork")
        verdicts = [scored(scorer, each) for each in ANSWERS]
    assert [each.score for each in verdicts] == [None] * len(ANSWERS)
    assert "softmax over one label" in verdicts[0].reason
