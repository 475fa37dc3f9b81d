"""its-hub's beam search, two beams of two; the process reward model is the user's: the model as its own judge."""

import json
from typing import Any

from its_hub import OpenAICompatibleLanguageModel, StepGeneration
from its_hub.api import AbstractProcessRewardModel
from its_hub.core.algorithms.beam_search import BeamSearch
from openai import AsyncOpenAI

ASK = 'Solve this step by step. End with a line "Answer: " and the number.'
JUDGE = (
    "Grade the beginning of an answer to a question.\n\nQuestion:\n{question}\n\n<answer>\n{answer}\n</answer>\n\n"
    'Is it right so far? Reply with JSON: {{"reason": "one or two sentences", "points": 0 to 10}}.'
)
SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 600},
        "points": {"type": "integer", "minimum": 0, "maximum": 10},
    },
    "required": ["reason", "points"],
}


class JudgedSteps(AbstractProcessRewardModel):  # type: ignore[misc]  # it isn't installed here
    """The points of each beginning."""

    def __init__(self, url: str, key: str) -> None:
        self._client = AsyncOpenAI(base_url=url, api_key=key)

    def score(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        raise NotImplementedError

    async def ascore(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        return [await self._points(str(prompt_or_messages), each) for each in steps]

    async def _points(self, question: str, said: str) -> float:
        asked: list[Any] = [{"role": "user", "content": JUDGE.format(question=question, answer=said)}]
        form: Any = {"type": "json_schema", "json_schema": {"name": "grade", "schema": SCHEMA}}
        reply = await self._client.chat.completions.create(
            model="local", messages=asked, temperature=0, max_tokens=256, response_format=form
        )
        try:
            return float(json.loads(reply.choices[0].message.content or "")["points"]) / 10
        except ValueError:
            return 0.5


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    lm = OpenAICompatibleLanguageModel(
        endpoint=url, api_key=key, model_name="local", temperature=0.7, max_completion_tokens=304
    )
    steps = StepGeneration(max_steps=4, step_token="\n\n", temperature=0.7)  # noqa: S106 - a blank line
    algorithm = BeamSearch(steps, JudgedSteps(url, key), beam_width=2)
    result: Any = algorithm.infer(lm, f"{question}\n{ASK}", budget=4, return_response_only=False)
    return result.the_one["content"], None
