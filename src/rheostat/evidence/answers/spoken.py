"""Remove thoughts from a reply, and the text that a model runs on into after its answer."""

from __future__ import annotations

import re

from rheostat.evidence.answers.text import blocks
from rheostat.evidence.answers.values import answer_of

__all__ = ["before_run_on", "said"]

_NAMES = (
    r"(?:\w{1,12}:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis|cot|monologue|rationale"
    r"|(?:internal|inner)[_ ]?(?:monologue|thoughts?)|chain[_-]of[_-]thought)"
)
_THOUGHT = re.compile(
    rf"""(?:^|(?<=[>\].!?]))[ \t]*(?:
        <(?P<tag>{_NAMES})(?:\s[^<>\n]*)?> | \[(?P<square>THINK)\] | (?P<begin><\|begin_of_thought\|>)
      | (?P<kimi>◁think▷) | (?P<unused><unused94>)(?:thought)? | (?P<dots>Thinking\.\.\.[ \t]*$)
    )""",
    re.X | re.I | re.M,
)
"""The opening of a thought: at the start of a line or sentence, or after another tag; elsewhere it is only a word."""
_ENDS = {
    "square": r"\[/THINK\]", "begin": r"<\|end_of_thought\|>", "kimi": r"◁/think▷", "unused": r"<unused95>",
    "dots": r"^[ \t]*(?:\.\.\.)?[ \t]*done thinking\.?[ \t]*$",
}  # fmt: skip
_CLOSES = re.compile(rf"<[/\\]\s*(?:{_NAMES})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<unused95>", re.I)
_CHANNEL = re.compile(r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
_SOLUTION = re.compile(r"<\|(?:begin|end)_of_solution\|>")


def said(reply: str) -> str:
    """The reply without its thoughts; a thought that never ends takes up the rest of the reply."""
    reply = _SOLUTION.sub("", _final_channel(reply))
    text, rest = "", reply
    while (opened := _opening(rest)) is not None:
        before, after = rest[: opened.start()], rest[opened.end() :]
        kind = opened.lastgroup or "tag"
        close = rf"<[/\\]\s*{re.escape(opened['tag'])}\s*>" if kind == "tag" else _ENDS[kind]
        closed = re.search(close, after, re.I | re.M)
        text += before
        if closed is None:
            return _after_close(text)
        rest = after[closed.end() :]
    return _after_close(text + rest)


def _opening(text: str) -> re.Match[str] | None:
    if "<" not in text and "[" not in text and "◁" not in text and "hinking..." not in text:
        return None
    fenced = None
    for opened in _THOUGHT.finditer(text):
        fenced = _fenced(text) if fenced is None else fenced
        if not any(start <= opened.start() < end for start, end in fenced):
            return opened
    return None


def _final_channel(reply: str) -> str:
    """The last final channel of a reply in channels (gpt-oss); other replies as they are."""
    channels = list(_CHANNEL.finditer(reply))
    if not channels:
        return reply
    final = [channel.end() for channel in channels if channel[1] == "final"]
    return re.split(r"<\|(?:end|return)\|>", reply[final[-1] :])[0] if final else reply[: channels[0].start()]


def _after_close(text: str) -> str:
    """The text after the end of a thought whose opening isn't in the reply, because the template wrote it."""
    closes = [each for each in _CLOSES.finditer(text) if text[each.start() - 1 : each.start()] not in ("'", '"', "`")]
    if not closes:
        return text
    fenced = _fenced(text)
    for close in reversed(closes):
        alone = text[: close.start()].endswith("\n") and text[close.end() :][:1] in ("\n", "")
        if (alone or not any(start <= close.start() < end for start, end in fenced)) and not _in_json(text, close):
            return text[close.end() :]
    return text


def _in_json(text: str, close: re.Match[str]) -> bool:
    line = text[text.rfind("\n", 0, close.start()) + 1 : close.start()]
    return text.lstrip()[:1] in ("{", "[") and line.count('"') % 2 == 1


def _fenced(text: str) -> list[tuple[int, int]]:
    """The spans of the fenced blocks of code."""
    if "```" not in text and "~~~" not in text:
        return []
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return [
        (starts[block.lines[0]], starts[min(block.lines[1], len(starts) - 1)]) for block in blocks(text) if block.fenced
    ]


_LABEL = (
    r"(?:(?:Next|New|Another|Bonus|Follow[- ]up|Sample|Practice)\s+(?i:question|problem|task|exercise)"
    r"|Question|Q|Problem|Human|User|Student|Instruction|Input|Exercise|Example\s+\d+"
    r"|(?:Task|Bonus|Follow[- ]up)(?!\s+\d))"
)
_RUNS_ON = re.compile(
    rf"""<\|(?:im_start|im_end|eot_id|endoftext|end_of_text|start_header_id|end|return|start)\|>|</s>|\[/?INST\]
    |^\s{{0,3}}(?:\#{{1,6}}\s*)?(?:\*\*)?{_LABEL}(?:\s+\d+)?\s*(?:\*\*)?\s*:(?:\*\*)?
    |^\s{{0,3}}\#{{1,6}}\s*(?:\*\*)?(?:Instruction|Input|Question|Human|User)s?\b
    |^[ \t]*(?:user|human|assistant)[ \t]*:?[ \t]*$
    |^You\ are\ an?\ (?:AI|helpful|assistant)\b""",
    re.X | re.M,
)
_NEXT = re.compile(r"^\s{0,3}\#{1,6}\s*(?:\*\*)?(?:Problem|Exercise|Task)(?:\s+\d+)?\W*$", re.M)
"""A heading of a problem: after an answer it starts a next problem, before one it restates the question."""
_ASKS = re.compile(
    r"^[ \t>*_#-]*+(?:\(?\d{1,3}[.)]\s+)?\**+(?:How\s+(?:many|much|long|far|old)|What|Which|Who|When|Where|If"
    r"|Find|Calculate)\b"
    r"[^\n]*\?[*_ \t]*$|^[ \t]*Which of the following\b[^\n]*$",
    re.M,
)
_ANSWERED = re.compile(r"\\boxed|^[ \t]*####|<answer>|\banswer(?:\s+is\b|\s*:)|^\#{1,6}[^\n]*\banswer\W*$", re.I | re.M)
_SHORT_CHARS = 60


def before_run_on(text: str) -> str:
    """The text up to the point where the model starts a next question by itself; blocks of code stay whole."""
    fenced = _fenced(text)
    for runs_on in _RUNS_ON.finditer(text):
        if text[: runs_on.start()].strip() and not any(start <= runs_on.start() < end for start, end in fenced):
            text = text[: runs_on.start()]
            break
    for asks in sorted([*_ASKS.finditer(text), *_NEXT.finditer(text)], key=re.Match.start):
        before = text[: asks.start()].strip()
        if (_ANSWERED.search(before) and not before.endswith(":")) or _is_value(before):
            return text[: asks.start()]
    return text


def _is_value(text: str) -> bool:
    """Whether a text is an answer and nothing else."""
    if not text or len(text) > _SHORT_CHARS:
        return False
    answer = answer_of(text)
    return re.fullmatch(r"\W*[A-J]\W*", text) is not None or (answer is not None and answer.form != "text")
