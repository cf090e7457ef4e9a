"""Options that several commands take as one set, which reaches a command as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Command = Callable[..., None]


@dataclass(frozen=True)
class Option:
    """One option: its name as a parameter, what typer makes of it, and its default."""

    name: str
    annotation: Any
    default: Any


def expanded(
    command: Command, whole: type, options: Sequence[Option], made: Callable[[dict[str, Any]], Any]
) -> Command:
    """A command in which the parameter of one type is typed as options of their own.

    Args:
        command: has one parameter annotated with `whole`.
        whole: the type of the value that the command takes.
        options: what stands in its place on the command line.
        made: the value, from what was typed by name.
    """
    parameters: list[inspect.Parameter] = []
    place = ""
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        if parameter.annotation is whole:
            place = name
            parameters += [
                inspect.Parameter(
                    one.name, parameter.kind, default=one.default, annotation=one.annotation
                )
                for one in options
            ]
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def taking(**given: Any) -> None:
        typed = {one.name: given.pop(one.name) for one in options}
        command(**given, **{place: made(typed)})

    taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {one.name: one.annotation for one in parameters}
    return taking
