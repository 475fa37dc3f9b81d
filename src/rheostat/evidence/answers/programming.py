"""Find the programming language that a question asks for, and definitions in source code."""

from __future__ import annotations

import re

__all__ = ["defines", "language_of"]

_LANGUAGES = {
    "javascript": {"javascript", "js", "jsx", "node"}, "typescript": {"typescript", "ts", "tsx"},
    "rust": {"rust", "rs"},
    "sql": {"sql", "mysql", "postgresql", "sqlite"}, "java": {"java"}, "c++": {"cpp", "c++", "cxx", "cc"},
    "c#": {"csharp", "cs", "c#"}, "c": {"c", "h"}, "go": {"go", "golang"}, "golang": {"go", "golang"},
    "bash": {"bash", "sh", "shell", "zsh"}, "shell": {"bash", "sh", "shell", "zsh"}, "ruby": {"ruby", "rb"},
    "html": {"html"}, "css": {"css"}, "regex": {"regex", "regexp"}, "php": {"php"}, "kotlin": {"kotlin", "kt"},
    "swift": {"swift"}, "r": {"r"}, "haskell": {"haskell", "hs"}, "lua": {"lua"}, "scala": {"scala"},
    "powershell": {"powershell", "ps1", "pwsh"}, "perl": {"perl", "pl"}, "julia": {"julia", "jl"}, "dart": {"dart"},
    "elixir": {"elixir", "ex"}, "erlang": {"erlang"}, "clojure": {"clojure", "clj"}, "f#": {"fsharp", "f#"},
    "ocaml": {"ocaml", "ml"}, "matlab": {"matlab", "octave"}, "fortran": {"fortran", "f90"}, "cobol": {"cobol"},
    "assembly": {"asm", "nasm", "assembly"}, "lisp": {"lisp", "common-lisp", "elisp"}, "scheme": {"scheme"},
    "prolog": {"prolog"}, "groovy": {"groovy"}, "zig": {"zig"}, "nim": {"nim"}, "solidity": {"solidity", "sol"},
    "yaml": {"yaml", "yml"}, "toml": {"toml"}, "xml": {"xml"}, "dockerfile": {"dockerfile", "docker"},
    "makefile": {"makefile", "make"}, "awk": {"awk"}, "vba": {"vba", "vb"}, "pascal": {"pascal", "delphi"},
    "latex": {"latex", "tex"}, "graphql": {"graphql"}, "verilog": {"verilog", "v"},
}  # fmt: skip
_NOUN = (
    r"(?:function|code|program|script|quer(?:y|ies)|class|method|snippet|one-liner|expression|command|statement"
    r"|struct|module|page|file|macro|component|stored\s+procedure)"
)
_DEFINES = re.compile(
    r"""\bfunction\b|\bfn\s+\w|\bfunc\s+[\w(]|\bdef\s+\w|\bclass\s+\w|\bstruct\s+\w|\bCREATE\b|\bSELECT\b|=>|<-\s*function|::
    |\b(?:int|void|public|private|static|double|float|bool|char|long|auto|string|fun|sub
    |let)\s+[\w<>\[\]:*& ]+\s*\(|^\#!|^module\b|^defmodule\b|\(defun\b|\(define\b""",
    re.X | re.M | re.I,
)


def language_of(question: str) -> set[str] | None:
    """The info strings of the language that a question asks for; `None`: Python, or the question doesn't say."""
    if re.search(r"\bpython\b|```py|\b(?:in|use|using)\s+py\b", question, re.I):
        return None
    for name, infos in _LANGUAGES.items():
        shown = re.escape(name)
        single = name.upper() if len(name) == 1 else None
        pattern = shown if single is None else single
        flags = re.I if single is None else 0
        if re.search(
            rf"(?<!\w)(?:in|using|use)\s+(?:plain\s+|vanilla\s+|modern\s+)?{pattern}(?![\w+#])"
            rf"|(?<!\w)(?:a|an|the|this|me|some|following)\s+(?:\w+\s+)?{pattern}\s+{_NOUN}\b|^\s*{pattern}\s+{_NOUN}\b|(?<!\w)(?:a|an)\s+{pattern}(?=\s+(?:to|that|for|which)\b)",
            question,
            flags,
        ):
            return infos
    return None


def defines(source: str) -> bool:
    """Whether a source defines something, unlike an example that only calls it."""
    return _DEFINES.search(source) is not None
