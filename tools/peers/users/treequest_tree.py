"""treequest's AB-MCTS with four steps, as its README writes the loop; the calls and the judge are the user's."""

import dataclasses
import json
from typing import Any

import treequest as tq
from openai import OpenAI

ASK = 'Solve this step by step. End with a line "Answer: " and the number.'
JUDGE = (
    "Grade an answer to a question.\n\nQuestion:\n{question}\n\n<answer>\n{answer}\n</answer>\n\n"
    'Is it right and complete? Reply with JSON: {{"reason": "one or two sentences", "points": 0 to 10}}.'
)
SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 600},
        "points": {"type": "integer", "minimum": 0, "maximum": 10},
    },
    "required": ["reason", "points"],
}


@dataclasses.dataclass
class State:
    llm_answer: str
    score: float
    reason: str


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    client = OpenAI(base_url=url, api_key=key)

    def say(messages: list[Any], **kwargs: Any) -> str:
        reply = client.chat.completions.create(model="local", messages=messages, **kwargs)
        return reply.choices[0].message.content or ""

    def judge(said: str) -> tuple[float, str]:
        asked = [{"role": "user", "content": JUDGE.format(question=question, answer=said)}]
        form = {"type": "json_schema", "json_schema": {"name": "grade", "schema": SCHEMA}}
        try:
            grade = json.loads(say(asked, temperature=0, max_tokens=256, response_format=form))
        except ValueError:
            return 0.5, ""
        return grade["points"] / 10, grade["reason"]

    def generate(parent: State | None) -> tuple[State, float]:
        messages = [{"role": "user", "content": f"{question}\n{ASK}"}]
        if parent is not None:
            again = f"That was checked and is not right: {parent.reason}\nCorrect it. {ASK}"
            messages += [{"role": "assistant", "content": parent.llm_answer}, {"role": "user", "content": again}]
        said = say(messages, temperature=0.7, max_tokens=304)
        score, reason = judge(said)
        return State(said, score, reason), score

    algo: Any = tq.ABMCTSA()
    search_tree = algo.init_tree()
    for _ in range(4):
        search_tree = algo.step(search_tree, {"answer": generate})
    best: Any = tq.top_k(search_tree, algo, k=1)[0][0]
    return best.llm_answer, None
