"""Read and write text files, keeping their encoding, byte order mark, line ends and last newline."""

from __future__ import annotations

import bisect
import codecs
import re
from dataclasses import dataclass

from langchain_core.tools import ToolException

__all__ = ["FileText"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
"""The encoding declaration of Python sources (PEP 263), in the first or second line."""
_UNLIKELY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ud800-\udfff]")
"""Characters that no text has in an encoding that was guessed, or named by the file."""
_SAMPLED_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class FileText:
    """The content of a text file, in a form in which every line ends with \\n."""

    text: str
    """The text, without a byte order mark."""
    encoding: str = "utf-8"
    """Python's name of the encoding."""
    mark: bytes = b""
    """The byte order mark; empty if there is none."""
    raw: str = ""
    """The text with the line ends of the file."""
    _line_end: str = "\n"
    """The line end of most lines."""

    @classmethod
    def of(cls, name: str, content: bytes) -> FileText:
        """Read the content of a file.

        Raises:
            ToolException: It isn't text, or is in an unknown encoding.
        """
        mark, encoding, raw = _decoded(name, content)
        if "\r" in raw and "\n" not in raw:
            return cls(raw.replace("\r", "\n"), encoding, mark, raw, "\r")
        most = "\r\n" if 2 * raw.count("\r\n") > raw.count("\n") else "\n"
        return cls(raw.replace("\r\n", "\n"), encoding, mark, raw, most)

    def replaced(self, start: int, end: int, new: str) -> bytes:
        """The bytes of the file with another piece in place of `text[start:end]`.

        The positions may be after a newline that the last line lacks; it still lacks it then.

        Raises:
            ToolException: The new piece can't be written in the file's encoding.
        """
        length = len(self.text)
        if end > length:
            new = ("\n" if start > length and new else "") + new.removesuffix("\n")
            start, end = min(start, length), length
        crlf = self._crlf()
        first, last = (place + bisect.bisect_left(crlf, place) for place in (start, end))
        return self._encoded(self.raw[:first] + self._with_ends(new, start, crlf) + self.raw[last:])

    def whole(self, new: str) -> bytes:
        """The bytes of the file with another text; unchanged lines keep their ends, the last one its newline or none.

        Raises:
            ToolException: The text can't be written in the file's encoding.
        """
        new = new.replace("\r\n", "\n")
        if self.text and new:
            new = (
                new.rstrip("\n") + "\n" * max(1, len(new) - len(new.rstrip("\n")))
                if self.text[-1] == "\n"
                else (new.removesuffix("\n"))
            )
        start = _common(self.text, new)
        most = min(len(self.text), len(new)) - start
        tail = min(most, _common(self.text[::-1], new[::-1]))
        return self.replaced(start, len(self.text) - tail, new[start : len(new) - tail])

    def _crlf(self) -> list[int]:
        """Positions in `text` of line ends that are \\r\\n in the file."""
        return [found.start() - number for number, found in enumerate(re.finditer("\r\n", self.raw))]

    def _with_ends(self, new: str, start: int, crlf: list[int]) -> str:
        new = new.replace("\r\n", "\n")
        end = self._line_end
        if crlf and end != "\r":  # mixed line ends: use that of this line or the next
            at = self.text.find("\n", start)
            if at >= 0:
                index = bisect.bisect_left(crlf, at)
                end = "\r\n" if index < len(crlf) and crlf[index] == at else "\n"
        return new if end == "\n" else new.replace("\n", end)

    def _encoded(self, raw: str) -> bytes:
        try:
            return self.mark + raw.encode(self.encoding)
        except UnicodeEncodeError as error:
            letter = raw[error.start]
            raise ToolException(
                f"{letter!r} can't be written in the file's encoding, {self.encoding}: use other characters"
            ) from None


def _decoded(name: str, content: bytes) -> tuple[bytes, str, str]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return mark, encoding, content[len(mark) :].decode(encoding)
            except UnicodeDecodeError:
                break
    for encoding in _guesses(content):
        try:
            raw = content.decode(encoding)
            if raw.encode(encoding) == content and not (encoding not in ("utf-8", "ascii") and _UNLIKELY.search(raw)):
                return b"", encoding, raw
        except (UnicodeError, LookupError):
            continue
    raise ToolException(f"{name} is binary, or in an encoding that can't be told: only text can be read and changed")


def _guesses(content: bytes) -> list[str]:
    sample = content[:_SAMPLED_BYTES]
    if b"\0" in content:
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        enough = len(sample) // 5
        return ["utf-16-le"] * (odd > enough >= even) + ["utf-16-be"] * (even > enough >= odd)
    cookies = [found[1].decode().lower() for line in sample.split(b"\n")[:2] if (found := _COOKIE.match(line))]
    return [*(codecs.lookup(each).name for each in cookies if _is_text(each)), "utf-8", "cp1252", "latin-1"]


def _is_text(encoding: str) -> bool:
    try:
        return "a\n".encode(encoding) == b"a\n"
    except (LookupError, UnicodeError):
        return False


def _common(one: str, other: str) -> int:
    """The length of the common prefix of two texts."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
