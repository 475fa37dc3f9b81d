"""One greedy answer: the control."""

from rheostat import Budget, build_solver, resolve


def answer(url: str, key: str, question: str) -> tuple[str | None, int | None]:
    solver = build_solver(
        resolve(url), budget=Budget(tokens=10_000), strategy="direct", effort="none", form="number"
    ).compile()
    result = solver.invoke({"question": question})
    return result["answer"], result["rheostat"]["spend"]["output_tokens"]
