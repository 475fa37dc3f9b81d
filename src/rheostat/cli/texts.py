"""Texts on a command line that begin with a dash, such as the question "-5 + 8 = ?"."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["texts_last"]

_TEXT = re.compile(r"-+(?:[\d.,($€£]|\S*\s)")
"""A number, or more than one word: no option looks like that."""


def texts_last(command: Any, args: list[str]) -> list[str]:
    """The same arguments, with texts that begin with a dash behind a `--`, where they can't be taken for options.

    Args:
        command: A command, or a group of commands, of typer.
    """
    commands = getattr(command, "commands", None)
    if commands:
        inner = commands.get(args[0]) if args else None
        return args if inner is None else [args[0], *texts_last(inner, args[1:])]
    if "--" in args or not any(_TEXT.match(each) for each in args):
        return args
    flags = {name: bool(getattr(each, "is_flag", False)) for each in command.params for name in _names(each)}
    options, positional = [], []
    waiting = iter(args)
    for each in waiting:
        name, _, value = each.partition("=")
        if name in flags or (each.startswith("-") and len(each) > 1 and not _TEXT.match(each)):
            options.append(each)
            if flags.get(name) is False and not value:
                options += [*([] if (following := next(waiting, None)) is None else [following])]
        else:
            positional.append(each)
    return [*options, "--", *positional]


def _names(parameter: Any) -> list[str]:
    if getattr(parameter, "param_type_name", "") != "option":
        return []
    return [*parameter.opts, *parameter.secondary_opts]
