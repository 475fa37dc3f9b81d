"""Code that passes your own tests, under a budget: ask, test in a sandbox, correct after a failure.

Run: python examples/verified_code.py
"""

from rheostat import Budget, PythonTests, build_solver
from rheostat.visible import visible

TESTS = """
assert middle("abc") == "b"
assert middle("abcd") == "bc"
assert middle("") == ""
"""

graph = build_solver(
    "qwen2.5-coder-0.5b",
    budget=Budget(tokens=10_000, seconds=120),
    verifier=PythonTests(TESTS),
).compile()

question = "Write a Python function middle(text) that returns the middle character, or the two middle ones."
for event in graph.stream({"question": question}, stream_mode="custom"):
    match event["type"]:
        case "plan":
            print(f"round {event['round']}: {event['effort']}, {event['thinking_tokens']} thinking tokens")
        case "verdict":
            print("passed" if event["passed"] else f"refused: {visible(event['reason'])}")
        case "decision":
            print(f"{event['action']}: {event['why']}")
        case "spend":
            print(f"so far {event['input_tokens'] + event['output_tokens']} tokens in {event['calls']} calls")
