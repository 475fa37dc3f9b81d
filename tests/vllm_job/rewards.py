"""Do the reward scorers get from a real vLLM the numbers that the model itself gives? And is what it reports paid?

The models are tiny and random: their scores mean nothing, their equality does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import httpx2
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

import rheostat
from rheostat import Account, Budget, MemoryLedger
from rheostat.calling.payer import Payer, paid_by
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers import OutcomeReward, ProcessReward, RewardFormat
from rheostat.task import Difficulty, Task
from served import made, serving
from tiny_reward import MARK, load_process

TASK = Task(question="What is 2 + 2?", difficulty=Difficulty(score=0.1, kind="maths", reasons=()))
ANSWERS = [
    Candidate(id=str(number), answer="4", text=text)
    for number, text in enumerate(
        ["4", "Two and two.\n\nThat makes 4.", "It is five.\n\nNo: four.\n\nThe answer is 4.", "x" * 300 + "\n\n4"]
    )
]
CLOSE = 1e-4
"""Float32 in two implementations: the largest difference that is none."""

CHAT, PAIR = ("messages", "{question} {answer}"), ("pair",)
OUTCOMES = [
    (api, RewardFormat(text=text, value=value))
    for api, texts in (("classify", CHAT), ("pooling", CHAT), ("score", PAIR), ("rerank", PAIR))
    for text in texts
    for value in ("logit", "probability")
]


def compared(python: str) -> tuple[list[str], int]:
    """The section of the log about rewards, and the number of scores that differ from the model's own."""
    rheostat.install_gate()
    rows, wrong, asked = [], 0, 0
    ledger, told = MemoryLedger(), 0
    ledger.open(Account("a", Budget(tokens=10**7)))
    payer = Payer(ledger, "a", Budget(tokens=10**7))

    for kind in ("outcome", "process", "steps"):
        with tempfile.TemporaryDirectory() as folder:
            made(python, "tiny_reward.py", folder, kind)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = _loaded(kind, folder)
            with serving(python, folder, *_settings(kind, tokenizer)) as url, httpx2.Client(timeout=60) as client:
                for there in _scorers(kind, url):
                    here = type(there)(local=(model, tokenizer), format=_raw(there))
                    most = 0.0
                    for each in ANSWERS:
                        request: Any = there.request(TASK, each)
                        with paid_by(payer):
                            reply = client.post(request.url, json=dict(request.body)).json()
                        told += (reply.get("usage") or {}).get("prompt_tokens", 0)
                        got = there.read(TASK, each, reply)
                        work: Any = here.request(TASK, each)
                        own = here.read(TASK, each, work.do())
                        far = _far(got.score, own.score, list(got.parts.values()), list(own.parts.values()))
                        most, asked = max(most, far), asked + 1
                        wrong += far > CLOSE
                        if far > CLOSE:
                            print(f"{kind} {there.api}: {got} from vLLM, {own} from the model", reply)
                    how = there.format if isinstance(there.format, RewardFormat) else None
                    text = f"{how.text}, {how.value}" if how else str(there.format)
                    rows.append(f"| {kind} | `/{there.api}` | {text} | {len(ANSWERS)} | {most:.1e} |")
    spent = ledger.reading("a")
    if (spent["input_tokens"], spent["unknown_calls"]) != (told, 0):
        wrong += 1
    section = [
        "## Its reward models score as they do themselves", "",
        "Tiny random models, whose scores mean nothing: of the architectures of Skywork-Reward-V2-Qwen3 (`outcome`) "
        "and Qwen2.5-Math-PRM (`process`), and a token classifier with the STEP pooler (`steps`). Their scores through "
        "vLLM against those computed by transformers.", "",
        "| model | API | format | answers | largest difference |", "|---|---|---|--:|--:|", *rows, "",
        f"{asked} requests; further apart than {CLOSE:.0e}: {wrong}; ledger: {spent['input_tokens']:,} tokens settled, "
        f"vLLM told {told:,}; unknown calls: {spent['unknown_calls']}.",
    ]  # fmt: skip
    return section, wrong


def _settings(kind: str, tokenizer: Any) -> list[str]:
    mark = tokenizer.convert_tokens_to_ids(MARK)
    pooler = {
        "outcome": "",
        "process": f'{{"step_tag_id": {mark}}}',
        "steps": f'{{"task": "token_classify", "tok_pooling_type": "STEP", "step_tag_id": {mark}}}',
    }[kind]
    return ["--runner", "pooling", *(["--pooler-config", pooler] if pooler else [])]


def _loaded(kind: str, folder: str) -> Any:
    if kind == "process":
        return load_process(folder)
    maker = AutoModelForSequenceClassification if kind == "outcome" else AutoModelForTokenClassification
    return maker.from_pretrained(folder).eval()


def _scorers(kind: str, url: str) -> list[Any]:
    if kind == "outcome":
        return [OutcomeReward(url=url, model="tiny", api=api, format=how) for api, how in OUTCOMES]  # type: ignore[arg-type]
    return [ProcessReward(url=url, model="tiny")]


def _raw(scorer: Any) -> Any:
    """The format for the model itself, which always gives logits."""
    how = scorer.format
    return RewardFormat(text=how.text) if isinstance(how, RewardFormat) else how


def _far(one: float | None, two: float | None, parts: Sequence[float], others: Sequence[float]) -> float:
    if one is None or two is None or len(parts) != len(others):
        return float("inf")
    return max(abs(a - b) for a, b in zip([one, *parts], [two, *others], strict=True))
