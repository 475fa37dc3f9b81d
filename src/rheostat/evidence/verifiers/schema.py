"""Verify that an answer is JSON of a given shape."""

from __future__ import annotations

import functools
import json
from typing import Any

from rheostat.errors import MissingExtra, VerifierInvalid
from rheostat.evidence.answers.values import once
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.verifiers.verdict import Verdict
from rheostat.sandbox.worker import TooMuch, Worker

__all__ = ["JsonSchema"]


_MOST_CHARS, _MOST_DIGITS = 1 << 20, 4_000


class _TooLong(Exception):
    """A number has more digits than the limit."""


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise _TooLong(f"a number of {len(digits):,} digits; the most is {_MOST_DIGITS:,}")
    return int(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} isn't valid JSON")


class JsonSchema:
    """The answer must satisfy a JSON Schema (checked by jsonschema, with the draft that `$schema` names).

    A reference to another document isn't followed: the verdict is "can't tell".

    Raises:
        VerifierInvalid: It isn't JSON, or not a schema.
        MissingExtra: jsonschema isn't installed.
    """

    form: AnswerForm | None = "json"

    def __init__(self, schema: dict[str, Any] | str) -> None:
        try:
            import jsonschema
        except ImportError:
            raise MissingExtra("JsonSchema", "verifiers") from None
        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except (ValueError, RecursionError) as error:
                raise VerifierInvalid(f"the schema is not JSON that can be read: {error}") from None
        if not isinstance(schema, dict):
            raise VerifierInvalid(f"a JSON Schema is an object, not {type(schema).__name__}")
        kind = jsonschema.validators.validator_for(schema)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise VerifierInvalid(f"not a valid JSON Schema: at {error.json_path}: {error.message}") from None
        except RecursionError:
            raise VerifierInvalid("the schema is nested too deeply") from None
        self.schema: dict[str, Any] = schema
        """The schema itself; it is also shown to the model."""
        self._text = json.dumps(schema)

    def fits(self, text: str) -> bool:
        """Whether a text satisfies the schema."""
        return self.check(text).passed is True

    def check(self, answer: str) -> Verdict:
        """Parse and validate within two seconds, else can't tell; the reason names the first three faults by path."""
        if len(answer) > _MOST_CHARS:
            return Verdict(None, f"{len(answer):,} characters of JSON; the most that is checked is {_MOST_CHARS:,}")
        try:
            told = json.loads(_WORKER.ask(json.dumps([self._text, answer])) or "{}")
        except TooMuch as error:
            return Verdict(None, f"can't be checked: it took {error}")
        return Verdict(told.get("passed"), told.get("reason", ""))


def checked(order: str) -> str:
    """The verdict on [schema, answer] as JSON. Runs in the worker, because a pattern in the schema may never end."""
    schema, answer = json.loads(order)
    try:
        value = json.loads(answer, parse_int=_whole, parse_constant=_no_constant, object_pairs_hook=once)
        faults = sorted(_validator(schema).iter_errors(value), key=lambda fault: fault.json_path)
    except (_TooLong, RecursionError) as error:
        return json.dumps({"passed": None, "reason": f"can't be checked: {error}"})
    except ValueError as error:
        return json.dumps({"passed": False, "reason": f"not valid JSON: {error}"})
    except Exception as error:  # such as a dangling reference, or a third-party format
        return json.dumps({"passed": None, "reason": f"can't be checked: {type(error).__name__}: {str(error)[:300]}"})
    said = "; ".join(f"at {fault.json_path[:200]}: {fault.message[:200]}" for fault in faults[:3])
    return json.dumps({"passed": not faults, "reason": said})


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    import jsonschema
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    wanted = json.loads(schema)
    # documents of these only: by default, remote references are fetched
    return jsonschema.validators.validator_for(wanted)(wanted, registry=REGISTRY)


_WORKER = Worker(__name__, "checked", seconds=2.0, memory_bytes=2_000_000_000, first='["{}", "1"]')
