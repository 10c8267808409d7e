"""Tokens of the text form of the IR, and the small steps its parser is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from coopdraw.graphs.errors import GraphError

NAME = r"[A-Za-z_][A-Za-z0-9_.$/-]*"
"""A graph, operator, attribute or output name that needs no quotes."""
SYMBOL = r"[A-Za-z0-9_.$/-]+"
"""A value name (after %) or a source path (after @) that needs no quotes."""

_STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
_TOKEN = re.compile(
    rf"(?P<space>(?:[ \t\r\n]+|\#[^\n]*)+)|(?P<string>{_STRING})|(?P<value>%(?:{SYMBOL}|{_STRING}))"
    rf"|(?P<source>@(?:{SYMBOL}|{_STRING}))|(?P<number>-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|-inf)"
    rf"|(?P<name>{NAME})|(?P<mark>[(){{}}\[\],:=])|(?P<end>\Z)"
)

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Token:
    """One token and where it starts; `kind` is string, value, source, number, name, mark or end."""

    kind: str
    text: str
    offset: int


class Tokens:
    """The tokens of a text, read from first to last; every error names line and column."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.next = self._scan(0)

    def _scan(self, offset: int) -> Token:
        """The token at an offset; space and comments are skipped."""
        match = _TOKEN.match(self._text, offset)
        if match is None:
            self.fail(Token("", "", offset), f"{self._text[offset]!r} starts no token; quote the name or remove it")
        if match.lastgroup == "space":
            return self._scan(match.end())
        return Token(str(match.lastgroup), match.group(), offset)

    def advance(self) -> Token:
        """Reads the next token."""
        token = self.next
        self.next = self._scan(token.offset + len(token.text))
        return token

    def take(self, kind: str, wanted: str) -> Token:
        """Reads the next token, which must be of this kind."""
        if self.next.kind != kind:
            self.unexpected(wanted)
        return self.advance()

    def mark(self, text: str) -> None:
        """Reads the next token, which must be this mark."""
        if self.next.text != text:
            self.unexpected(text)
        self.advance()

    def skip(self, word: str) -> bool:
        """Whether the next token is this word or mark, which is then read."""
        found = self.next.text == word
        if found:
            self.advance()
        return found

    def items(self, item: Callable[[], _Item]) -> list[_Item]:
        """One or more items with commas between them."""
        found = [item()]
        while self.skip(","):
            found.append(item())
        return found

    def listed(self, opening: str, closing: str, item: Callable[[], _Item]) -> list[_Item]:
        """Items in brackets; none is fine."""
        self.mark(opening)
        found = [] if self.next.text == closing else self.items(item)
        self.mark(closing)
        return found

    def name(self, wanted: str) -> str:
        """Reads a name, quoted or not."""
        if self.next.kind == "string":
            return self.string(self.advance())
        return self.take("name", wanted).text

    def string(self, token: Token) -> str:
        """What a string, value or source token says, without its sigil and quotes."""
        text = token.text[1:] if token.kind in ("value", "source") else token.text
        if not text.startswith('"'):
            return text
        try:
            return str(json.loads(text))
        except ValueError:
            self.fail(token, f"{text} is not a JSON string; fix its escapes")

    def unexpected(self, wanted: str) -> NoReturn:
        """Raises GraphError about the next token."""
        found = "the end of the text" if self.next.kind == "end" else self.next.text
        self.fail(self.next, f"found {found}; write {wanted} here")

    def fail(self, token: Token, message: str) -> NoReturn:
        """Raises GraphError with the token's line and column, both from 1."""
        line = self._text.count("\n", 0, token.offset) + 1
        column = token.offset - self._text.rfind("\n", 0, token.offset)
        raise GraphError(f"line {line}, column {column}: {message}")
