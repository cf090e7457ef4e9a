"""What a registry says of its members, for `neurorobust attacks`: one line, and where from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Member = TypeVar("Member", covariant=True)


@dataclass(frozen=True)
class Listed(Generic[Member]):
    """One entry of a registry.

    Attributes:
        member: an attack or a backward mode.
        about: what it does, in one line.
        source: the paper, and where the form is ours.
    """

    member: Member
    about: str
    source: str

    def __post_init__(self) -> None:
        for text in (self.about, self.source):
            if not text.strip() or "\n" in text:
                raise ValueError(f"{self.member}: needs one line and a source, not {text!r}")
