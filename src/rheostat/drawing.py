"""Pictures by matplotlib's own defaults: it reads `matplotlibrc` from the current directory, which may be another's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["by_defaults"]

P = ParamSpec("P")
T = TypeVar("T")


def by_defaults(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw without the settings that lie about; some of them start programs, such as LaTeX.

    Without matplotlib it is called as it is, and says what is missing.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            import matplotlib as mpl
        except ImportError:
            return draw(*args, **kwargs)
        with mpl.rc_context():
            mpl.rcdefaults()
            return draw(*args, **kwargs)

    return drawn
