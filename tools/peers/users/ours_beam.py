"""A beam of two, two continuations each, by the model as its own judge."""

from rheostat import Beam, Budget, build_solver, resolve
from rheostat.evidence.scorers import Judge


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    model = resolve(url)
    solver = build_solver(
        model,
        budget=Budget(tokens=20_000),
        strategy=Beam(width=2, branches=2, steps=4),
        scorer=Judge(model=model),
        effort="none",
        form="number",
    ).compile()
    result = solver.invoke({"question": question})
    return result["answer"], result["rheostat"]["spend"]["output_tokens"]
