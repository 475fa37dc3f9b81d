"""Find the fenced blocks of an answer, and the names of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from rheostat_tools.outline import parses

__all__ = [
    "Block",
    "blocks",
    "is_python",
    "path_above",
    "path_in",
    "path_in_comment",
    "path_in_info",
    "without_thoughts",
]

_MOST_ENDS = 30
_MOST_TRIED_CHARS = 300_000
"""The most characters that are parsed, and lines that are looked at, to find the ends of blocks with inner fences."""
_MOST_FURTHER = 3
"""The most columns that a closing fence may be to the right of the opening one."""
_MOST_NAME_CHARS = 1_000
"""The longest line that may name a file."""

_NAMED = re.compile(r"(?:file(?:name)?|path|datei)\s*[:=]\s*(.+)", re.IGNORECASE)
_TAG = re.compile(r"<[\w-]+\s[^<>]*\b(?:file(?:name)?|path|name|src)\s*=\s*[\"']?([^\"'<>]+?)[\"']?\s*/?>")
_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|\*\*([^*\n]+)\*\*")
_FILE = re.compile(r"(?:[A-Za-z]:\\)?[^\s`*\"':|<>]*\w\.(\w+)|(?:[\w.-]+/)*(?:Makefile|Dockerfile|Justfile|LICENSE)")
_QUOTED_FILE = re.compile(r"[\w./ +-]+\.(\w+)")
_INFO = re.compile(r"(?:[\w+-]*[:\s]\s*)?(?:title=|file=|path=)?[\"']?([^\s\"'=]+\.\w+)[\"']?\s*$")
_COMMAND = re.compile(r"(?:\$|\./|(?:python[\d.]*|pytest|uv|bash|sh|node|npm|cat|git|pip|ruff|mypy|make|cd|rm|sed)\s)")
_COMMENT = re.compile(r"(?:#|//|--|;|/\*|<!--)(.+)$")
_LANGUAGE = re.compile(r"\{?\.?([\w+#-]*)")
_PYTHON = re.compile(r"py(?:thon)?[\d.]*[iwx]?", re.IGNORECASE)
_SUFFIXES = frozenset(
    {
        "py",
        "pyi",
        "pyx",
        "pyw",
        "ipynb",
        "md",
        "rst",
        "txt",
        "json",
        "jsonc",
        "jsonl",
        "toml",
        "yaml",
        "yml",
        "cfg",
        "ini",
        "conf",
        "env",
        "sh",
        "bash",
        "zsh",
        "fish",
        "ps1",
        "bat",
        "js",
        "jsx",
        "mjs",
        "cjs",
        "ts",
        "tsx",
        "css",
        "scss",
        "less",
        "html",
        "htm",
        "xml",
        "svg",
        "sql",
        "csv",
        "tsv",
        "c",
        "h",
        "cc",
        "cpp",
        "hpp",
        "cxx",
        "rs",
        "go",
        "java",
        "kt",
        "rb",
        "php",
        "pl",
        "lua",
        "r",
        "jl",
        "swift",
        "cs",
        "scala",
        "mk",
        "cmake",
        "lock",
        "in",
        "tf",
        "proto",
        "graphql",
        "vue",
        "svelte",
        "gradle",
        "properties",
        "tex",
        "bib",
        "po",
        "diff",
        "patch",
        "log",
    }
)
"""Suffixes that make a word with a dot a file rather than an attribute, without any other sign of a file."""
_THOUGHT = re.compile(r"\s*<(think|thinking|thought|reasoning|scratchpad)>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"\s*</(?:think|thinking|thought|reasoning|scratchpad)>\s*$", re.IGNORECASE)
_FENCE = re.compile(r"([ \t]*(?:>[ \t]*)*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(`{3,}(?=[^`]*$)|~{3,})(.*)$")
_QUOTE = re.compile(r"^[ \t]*>[ \t]?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    begin: int
    """The number of its first line."""
    end: int
    """The number of the line after its last."""
    info: str
    """The text after the opening fence."""
    text: str
    closed: bool

    @property
    def language(self) -> str:
        """The language named in the opening fence, in lower case; empty: it names none, or a file."""
        found = _LANGUAGE.match(self.info)
        word = found[1] if found else ""
        return "" if self.info[len(word) :].startswith((".", "/")) and not is_python(self.info) else word.lower()


def is_python(language: str) -> bool:
    """Whether a language is Python, by its name."""
    return _PYTHON.fullmatch(language) is not None


def without_thoughts(lines: Sequence[str]) -> list[str]:
    """The lines, of which those between `<think>` and `</think>` are emptied, unless the tags are in a fence."""
    kept: list[str] = []
    fence: _Fence | None = None
    tag = ""
    thought = 0
    for line in lines:
        if tag:
            if (at := line.lower().find(f"</{tag}>")) >= 0:
                kept.append(line[at + len(tag) + 3 :])
                tag = ""
            else:
                kept.append("")
        elif fence is None and _THOUGHT_END.match(line):  # the opening tag was in the prompt
            kept[thought:] = [""] * (len(kept) + 1 - thought)
            thought = len(kept)
        elif fence is None and (begun := _THOUGHT.match(line)):
            tag = begun[1].lower()
            end = line.lower().find(f"</{tag}>")
            kept.append("" if end < 0 else line[end + len(tag) + 3 :])
            tag = tag if end < 0 else ""
        else:
            if fence is None and (opened := _opening(line)):
                fence = _Fence(0, *opened)
            elif fence is not None and fence.closes(line):
                fence = None
            kept.append(line)
    return kept


def blocks(lines: Sequence[str]) -> Iterator[Block]:
    """The fenced blocks, in order; one that isn't closed ends at the end of the answer.

    A fence may be in a list or a quotation, and indented; its content loses that indentation. Unlike in Markdown, any
    indentation is allowed, and lines that have lost their indentation don't end a list.
    """
    number = 0
    tried = [_MOST_TRIED_CHARS]
    while number < len(lines):
        opened = _opening(lines[number])
        if opened is None:
            number += 1
            continue
        fence = _Fence(number, *opened)
        end = next((n for n in range(number + 1, len(lines)) if fence.ends(lines[n])), len(lines))
        closed = end < len(lines) and fence.closes(lines[end])
        text, end = _with_inner_fences(fence, lines, end, tried) if closed else (fence.content(lines, end), end)
        yield Block(number, end, fence.info, text, closed)
        number = end


def _opening(line: str) -> tuple[str, str, str] | None:
    """(text before a fence, the fence, text after it); `None`: the line doesn't open a fence."""
    found = _FENCE.match(line) if "```" in line or "~~~" in line else None
    return None if found is None else (found[1], found[2], found[3].strip())


@dataclass(frozen=True, slots=True)
class _Fence:
    begin: int
    lead: str
    mark: str
    info: str

    @property
    def quoted(self) -> bool:
        return ">" in self.lead

    def closes(self, line: str) -> bool:
        """Whether a line closes the fence; one too far to the right is content of the block."""
        bare = line.lstrip("> \t") if self.quoted else line.lstrip(" \t")
        return (
            bare.startswith(self.mark)
            and not bare.rstrip().strip(self.mark[0])
            and len(line) - len(bare) <= len(self.lead) + _MOST_FURTHER
        )

    def ends(self, line: str) -> bool:
        """Whether a line ends the block, by closing the fence or by ending the quotation."""
        return self.closes(line) or (self.quoted and not line.lstrip().startswith(">"))

    def content(self, lines: Sequence[str], end: int) -> str:
        inside = lines[self.begin + 1 : end]
        if end == len(lines) and inside and not inside[-1]:  # the last newline of the answer
            inside = inside[:-1]
        if self.quoted:
            inside = [_QUOTE.sub("", line, count=self.lead.count(">")) for line in inside]
        width = max(0, len(self.lead) - self.lead.rfind(">") - 2) if self.quoted else len(self.lead)
        if width:
            width = min([width, *(len(line) - len(line.lstrip()) for line in inside if line.strip())])
        return "".join(f"{line[width:]}\n" for line in inside)


def _with_inner_fences(fence: _Fence, lines: Sequence[str], close: int, tried: list[int]) -> tuple[str, int]:
    """The content of a block that may contain fences of the same length, and the number of the line after it.

    Python ends where it parses, other text where all inner blocks are closed. `tried` has the number of characters and
    lines that may still be looked at to find that.
    """
    text = fence.content(lines, close)
    python = re.match(r"py(?:thon)?\b", fence.info, re.IGNORECASE) is not None
    if python and parses(text):
        return text, close + 1
    depth, ends = 0, 0
    for number in range(fence.begin + 1, len(lines)):
        tried[0] -= 1
        if tried[0] < 0:
            break
        if fence.mark not in lines[number] or not lines[number].lstrip("> \t").startswith(fence.mark):
            continue
        if not fence.closes(lines[number]):
            depth += 1
            continue
        ends += 1
        if python and number > close:
            longer = fence.content(lines, number)
            tried[0] -= len(longer)
            if tried[0] >= 0 and parses(longer):
                return longer, number + 1
        elif not python and depth == 0:
            return (fence.content(lines, number), number + 1) if number > close else (text, close + 1)
        depth -= 1
        if ends > _MOST_ENDS:
            break
    return text, close + 1


def path_above(lines: Sequence[str], known: AbstractSet[str]) -> str:
    """The file named in the last of these lines; empty: none."""
    return path_in(next((line for line in reversed(lines) if line.strip()), ""), known)


def path_in(line: str, known: AbstractSet[str]) -> str:
    """The file named in a line of prose; empty: none."""
    if len(line) > _MOST_NAME_CHARS:
        return ""
    said = line.strip().lstrip("#*->• \t").rstrip(" :*`\t")
    bare = said.strip("`*\"' ")
    if bare in known:
        return bare
    if tag := _TAG.search(line):
        return str(tag[1]).strip()
    if named := _NAMED.match(bare.lstrip("*` ")):
        return str(named[1]).strip("`*\"' :")
    quoted = [str(next(filter(None, groups))).strip(" :") for groups in _QUOTED.findall(line)]
    for each in quoted:
        if each in known:
            return each
    if _is_file(bare):
        return bare
    files = [each for each in quoted if _is_file(each, blanks=True)]
    if len(files) == 1:
        return files[0]
    words = [word.strip("`*\"'(),;:") for word in said.split()]
    slashed = [word.replace("\\", "/").removeprefix("./") for word in words]
    return next((word for word in reversed(slashed) if word in known), "")


def path_in_info(info: str, known: AbstractSet[str]) -> str:
    """The file named in the line of an opening fence; empty: none."""
    if len(info) > _MOST_NAME_CHARS:
        return ""
    found = _INFO.match(info)
    path = found[1] if found else info.rsplit(":", maxsplit=1)[-1].strip()
    return path if path in known or (found and _is_file(path)) else ""


def path_in_comment(line: str, known: AbstractSet[str]) -> str:
    """The file named in a comment with no other text; empty: none."""
    found = _COMMENT.match(line.strip()) if len(line) <= _MOST_NAME_CHARS else None
    if found is None:
        return ""
    said = found[1].strip().removesuffix("*/").removesuffix("-->").strip()
    named = _NAMED.fullmatch(said)
    path = (named[1] if named else said).strip("`*\"' ")
    return path if path in known or _is_file(path) else ""


def _is_file(word: str, *, blanks: bool = False) -> bool:
    found = _FILE.fullmatch(word) or (_QUOTED_FILE.fullmatch(word) if blanks else None)
    return found is not None and not _COMMAND.match(word) and (found[1] is None or found[1].lower() in _SUFFIXES)
