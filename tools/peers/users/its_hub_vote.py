"""its-hub's self-consistency with a budget of four, as its README writes it."""

from its_hub import OpenAICompatibleLanguageModel, SelfConsistency
from its_hub.core.algorithms.self_consistency import create_regex_projection_function

ASK = 'Solve this step by step. End with a line "Answer: " and the number.'


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    lm = OpenAICompatibleLanguageModel(
        endpoint=url, api_key=key, model_name="local", temperature=0.7, max_completion_tokens=304
    )
    read = create_regex_projection_function(r"Answer:\D*(-?[\d,]+(?:\.\d+)?)")
    algorithm = SelfConsistency(read)
    result = algorithm.infer(lm, f"{question}\n{ASK}", budget=4, return_response_only=False)
    return result.the_one["content"], result.usage.completion_tokens
