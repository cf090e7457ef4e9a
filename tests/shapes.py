"""Array shapes and dtypes in the signatures of `neurorobust`, held whenever a test calls it.

jaxtyping's import hook puts its decorator on every function and dataclass, and beartype judges what
is handed over and what comes back. Only what names an array is judged: mypy holds the rest, and
tests pass other types on purpose, to see them refused.

Not held: functions that numba or triton compiles (they name numpy's arrays, or none); annotations
that only a type checker imports (encoders and readouts, so that cards need no torch); child
processes (Lava's, those of attacks and of the command line), which import the package without this.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray

_decorate: Callable[..., Any] = jaxtyping.jaxtyped


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _names_an_array(hint: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, AbstractArray) for part in _parts(hint))


@functools.cache
def _stands_for_an_array(name: str, module: str) -> bool:
    """Whether an annotation, as it is written in a module that is being imported, names arrays."""
    try:
        (hint,) = get_type_hints(
            type("Asked", (), {"__annotations__": {"it": name}}), vars(sys.modules[module])
        ).values()
    except (NameError, TypeError):  # only a type checker knows it, or it is written further down
        return False
    return _names_an_array(hint)


def checked(function: FunctionType) -> FunctionType:
    """`function`, which refuses arrays of another shape or dtype than it declares."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if _names_an_array(hint)}
    return beartype(function)


def _where_arrays_are_named(thing: Any = None, *, typechecker: Any) -> Any:
    """`jaxtyping.jaxtyped`, which costs 10 microseconds a call, only where it has what to judge."""
    if thing is None:
        return functools.partial(_where_arrays_are_named, typechecker=typechecker)
    inner = thing.fget if isinstance(thing, property) else inspect.unwrap(thing)
    inner = getattr(inner, "__func__", inner)
    written = getattr(inner, "__annotations__", {}).values()
    if any(isinstance(one, str) and _stands_for_an_array(one, inner.__module__) for one in written):
        return _decorate(thing, typechecker=typechecker)
    return thing


def hold() -> None:
    """Every module of the package that is imported from now on is checked."""
    early = sorted(name for name in sys.modules if name.partition(".")[0] == "neurorobust")
    assert not early, f"imported before its shapes could be checked: {early}"
    jaxtyping.jaxtyped = _where_arrays_are_named
    jaxtyping.install_import_hook("neurorobust", "tests.shapes.checked")
