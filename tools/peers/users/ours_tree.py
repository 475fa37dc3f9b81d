"""AB-MCTS with four nodes, by the model as its own judge."""

from rheostat import Budget, build_solver, resolve
from rheostat.evidence.scorers import Judge
from rheostat.strategies import TreeSearch


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    model = resolve(url)
    solver = build_solver(
        model,
        budget=Budget(tokens=10_000),
        strategy=TreeSearch(samples=4, at_once=1, algorithm="ab-mcts"),
        scorer=Judge(model=model),
        effort="none",
        form="number",
    ).compile()
    result = solver.invoke({"question": question})
    return result["answer"], result["rheostat"]["spend"]["output_tokens"]
