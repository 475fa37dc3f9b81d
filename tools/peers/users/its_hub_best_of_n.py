"""its-hub's best of four with the model as its own judge, as its README writes it."""

from its_hub import BestOfN, LLMJudge, OpenAICompatibleLanguageModel

ASK = 'Solve this step by step. End with a line "Answer: " and the number.'


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    lm = OpenAICompatibleLanguageModel(
        endpoint=url, api_key=key, model_name="local", temperature=0.7, max_completion_tokens=304
    )
    judge = LLMJudge(lm=lm, fallback_score=5.0)
    algorithm = BestOfN(orm=judge)
    result = algorithm.infer(lm, f"{question}\n{ASK}", budget=4, return_response_only=False)
    return result.the_one["content"], result.usage.completion_tokens
