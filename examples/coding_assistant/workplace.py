"""Where the assistant works: in a copy of the repository, in a git worktree, or in place with a copy to go back to."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from rheostat import BadInput
from rheostat_tools import Workspace


class Workplace:
    """A directory to work in, and what was there before; both outlive the process until `finish`.

    Args:
        root: The user's repository.
        where: `copy`, `worktree` (of the last commit), or `here`.
        state: A directory of our own, which is removed when the work is finished.

    Raises:
        BadInput: There is no such directory, or a worktree would miss changes that aren't committed.
    """

    def __init__(self, root: Path, where: str, state: Path) -> None:
        if not root.is_dir():
            raise BadInput(f"no directory at {root}: give the root of a repository")
        self.root, self.state, self._before = root, state, state / "before"
        self.work = root if where == "here" else state / "work"
        self._worktree = where == "worktree"
        if self._before.is_dir():  # an interrupted task
            return
        if self._worktree and self._git("status", "--porcelain"):
            raise BadInput(f"{root} has changes that aren't committed: commit them, or work with --where copy")
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        if self._worktree:
            self._git("worktree", "prune")
            self._git("worktree", "add", "--quiet", "--detach", str(self.work))
        elif where == "copy":
            copy(root, self.work)
        copy(root, state / "half")
        (state / "half").rename(self._before)  # there is all of it, or nothing

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own words
            ["git", "-C", str(self.root), *arguments],  # noqa: S607 - the user's git
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BadInput(f"git {arguments[0]}: {done.stderr.strip()}; or work with --where copy")
        return done.stdout

    def changed(self) -> list[str]:
        """The files that are different now, by their paths in the repository."""
        names = {name for at in (self._before, self.work) for name, _ in Workspace(at).files()}
        return sorted(name for name in names if content(self._before, name) != content(self.work, name))

    def diff(self) -> str:
        """The changes, as a unified diff."""
        lines: list[str] = []
        for name in self.changed():
            sides = ((content(at, name) or b"").decode(errors="replace") for at in (self._before, self.work))
            old, new = (side.splitlines(keepends=True) for side in sides)
            lines += difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def finish(self, *, apply: bool) -> int:
        """Bring the changes to the repository, or leave it as it was before; an exit code.

        A file that was changed by somebody else in the meantime is left alone, and so is all the rest.
        """
        changed = self.changed()
        theirs = [name for name in changed if content(self.root, name) != content(self._before, name)]
        if apply and self.work != self.root and theirs:
            print(f"not applied: {', '.join(theirs)} was changed in the meantime; the work is in {self.work}")
            return 1
        source = self.work if apply else self._before
        if apply or self.work == self.root:
            for name in changed:
                put(self.root / name, content(source, name))
        if self._worktree:
            self._git("worktree", "remove", "--force", str(self.work))
        shutil.rmtree(self.state)
        return 0

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is cleaned up here: after an interruption the work goes on where it was."""


def copy(source: Path, target: Path) -> None:
    """Copy the files that are the project's: not those that git ignores, nor environments and caches."""
    target.mkdir(parents=True)
    for name, _ in Workspace(source).files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)


def content(root: Path, name: str) -> bytes | None:
    """The bytes of a file; `None`: there is none."""
    at = root / name
    return at.read_bytes() if at.is_file() else None


def put(path: Path, text: bytes | None) -> None:
    """Give a file this content; `None` removes it."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
