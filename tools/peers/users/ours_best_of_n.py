"""The best of four by the model as its own judge."""

from rheostat import Budget, build_solver, resolve
from rheostat.evidence.scorers import Judge
from rheostat.strategies import BestOfN


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    model = resolve(url)
    solver = build_solver(
        model,
        budget=Budget(tokens=10_000),
        strategy=BestOfN(samples=4),
        scorer=Judge(model=model),
        effort="none",
        form="number",
    ).compile()
    result = solver.invoke({"question": question})
    return result["answer"], result["rheostat"]["spend"]["output_tokens"]
