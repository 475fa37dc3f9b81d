"""Runs one user's program in its own Python: a line of JSON in (`url`, `key`, `question`), a line of JSON out.

Needs nothing but the standard library, so that it runs in the virtual environment of any library.
"""

import importlib.util
import json
import sys
import time


def main() -> None:
    """Load the program, and answer until the input ends."""
    spec = importlib.util.spec_from_file_location("user", sys.argv[1])
    assert spec is not None and spec.loader is not None  # noqa: PT018, S101 - a path to a Python file
    user = importlib.util.module_from_spec(spec)
    sys.modules["user"] = user  # dataclasses look their module up there
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints isn't the answer
    spec.loader.exec_module(user)
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.monotonic()
        said, counted, error = None, None, ""
        try:
            said, counted = user.answer(asked["url"], asked["key"], asked["question"])
        except Exception as failed:
            error = f"{type(failed).__name__}: {str(failed)[:300]}"
        row = {"reply": said, "counted": counted, "error": error, "seconds": round(time.monotonic() - began, 2)}
        out.write(json.dumps(row) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
