"""The answer must be JSON of a given shape."""

from __future__ import annotations

import json
from typing import Any

from rheostat.errors import MissingExtra, VerifierInvalid
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.verifiers.verdict import Verdict

__all__ = ["JsonSchema"]


_MOST_CHARS, _MOST_DIGITS = 1 << 20, 4_000


class _TooLong(Exception):
    """A number of more digits than are read."""


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise _TooLong(f"a number of {len(digits):,} digits; the most is {_MOST_DIGITS:,}")
    return int(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


class JsonSchema:
    """Validate the answer against a JSON Schema (by jsonschema, the draft that `$schema` names).

    Raises:
        VerifierInvalid: not JSON, or not a schema.
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
            except json.JSONDecodeError as error:
                raise VerifierInvalid(f"the schema is not JSON: {error}") from None
        if not isinstance(schema, dict):
            raise VerifierInvalid(f"a JSON Schema is an object, not {type(schema).__name__}")
        kind = jsonschema.validators.validator_for(schema)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise VerifierInvalid(f"not a valid JSON Schema: at {error.json_path}: {error.message}") from None
        self.schema: dict[str, Any] = schema
        """The schema itself; it is also shown to the model."""
        self._validator = kind(schema)

    def fits(self, text: str) -> bool:
        """Does this text satisfy it?"""
        return self.check(text).passed is True

    def check(self, answer: str) -> Verdict:
        """Parse and validate; the reason names the first few faults by their path."""
        if len(answer) > _MOST_CHARS:
            return Verdict(None, f"{len(answer):,} characters of JSON; the most that is checked is {_MOST_CHARS:,}")
        try:
            value = json.loads(answer, parse_int=_whole, parse_constant=_no_constant)
            faults = sorted(self._validator.iter_errors(value), key=lambda fault: fault.json_path)
        except (_TooLong, RecursionError) as error:
            return Verdict(None, f"can't be checked: {error}")
        except ValueError as error:
            return Verdict(False, f"not valid JSON: {error}")
        if not faults:
            return Verdict(True)
        return Verdict(False, "; ".join(f"at {fault.json_path}: {fault.message[:200]}" for fault in faults[:3]))
