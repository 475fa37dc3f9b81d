"""Our defaults, on the model by its name: it is asked in the ways that suit it."""

from rheostat import Budget, build_solver
from rheostat.models import served_endpoint


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    model = served_endpoint(url, key, name="qwen2.5-coder-0.5b")
    solver = build_solver(model, budget=Budget(tokens=10_000), form="number").compile()
    result = solver.invoke({"question": question})
    spend = result["rheostat"]["spend"]
    return result["answer"], spend["output_tokens"] + spend["unknown_output_tokens"]
