"""Pass exceptions between the two sides: of a mirrored class, or of a class that both have.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.mirrors import MirrorMeta, Mirrors, handle_of
else:
    from mirrors import MirrorMeta, Mirrors, handle_of

_MOST_CAUSES = 5


class Raised(Mirrors):
    """Mirrors and exceptions."""

    def described(self, error: BaseException, depth: int = 0) -> dict[str, Any]:
        """Encode an exception and its causes for the other side."""
        if (handle := handle_of(error)) is not None:
            return {"yours": handle}
        home = getattr(error, "_peer_home", None)
        if home is not None:
            return {"yours": home}
        try:
            args = [self.encode(each) for each in error.args]
        except Exception:
            args = [str(error)]
        fields = {
            name: value
            for name, value in vars(error).items()
            if type(value) in (int, str, float, bool, type(None)) and name.isidentifier() and name[0] != "_"
        }
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        cause, notes = error.__cause__, getattr(error, "__notes__", ())
        return {
            "cause": self.described(cause, depth + 1) if cause is not None and depth < _MOST_CAUSES else None,
            "notes": [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else [],
            "of": self._described_class(type(error)), "h": self._number(error), "args": args, "fields": fields,
            "trace": "".join(lines[-8:])[-4_000:],
        }  # fmt: skip

    def exception(self, said: dict[str, Any]) -> BaseException:
        """Decode an exception from a message."""
        if "yours" in said:
            return self._owned[said["yours"]]  # type: ignore[no-any-return]
        if said["h"] in self._mirrors:
            return self._mirrors[said["h"]]  # type: ignore[no-any-return]
        kind = self.mirrored_class(said["of"])
        args = [self.decode(each) for each in said["args"]]
        if not issubclass(kind, BaseException):
            kind, args = RuntimeError, [f"{said['of']['name']}: {args}"]
        try:
            error = kind.__new__(kind, *args)
            error.args = tuple(args)
        except Exception:
            error = RuntimeError(f"{said['of']['name']}: {args}")
        if type(kind) is not MirrorMeta:
            with contextlib.suppress(Exception):
                kind.__init__(error, *args)
        if type(kind) is MirrorMeta:
            object.__setattr__(error, "_peer_handle", said["h"])
        else:
            error.__dict__.update(said["fields"])
            error.__dict__["_peer_home"] = said["h"]
        self._mirrors[said["h"]] = error
        for note in said["notes"]:
            BaseException.add_note(error, str(note))
        object.__setattr__(error, "_peer_trace", str(said["trace"]))
        if said["cause"] is not None:
            error.__cause__ = self.exception(said["cause"])
        return error
