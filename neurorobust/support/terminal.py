"""What reaches a terminal: text from files and names may be hostile, and is made harmless here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control, format (directions among them), lone surrogate, line and paragraph separator.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, keep: str = "") -> str:
    r"""The text with every character that a terminal acts on instead of showing, escaped.

    Args:
        text: anything; ESC becomes `\x1b`, a right-to-left override `\u202e`.
        keep: characters that stay, a line break for example.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        repr(one)[1:-1] if one not in keep and unicodedata.category(one) in INVISIBLE else one
        for one in text
    )


class Terminal(Console):
    """A rich console that shows text as it is: no markup in it, and nothing invisible.

    Colours and cursor movements that rich itself makes are segments of their own, and stay.
    """

    def __init__(self, stderr: bool = False, **settings: Any) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What rich renders, with its texts made harmless."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)
