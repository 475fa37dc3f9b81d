"""A vote of at most four."""

from rheostat import Budget, build_solver, resolve
from rheostat.strategies import Vote


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    vote = Vote(most_samples=4)
    solver = build_solver(
        resolve(url), budget=Budget(tokens=10_000), strategy=vote, effort="none", form="number"
    ).compile()
    result = solver.invoke({"question": question})
    return result["answer"], result["rheostat"]["spend"]["output_tokens"]
