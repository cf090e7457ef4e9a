"""`module:factory` on the command line: something from the user's own Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from neurorobust.errors import BadInput
from neurorobust.support.names import unknown

Member = TypeVar("Member")


def find(what: str, name: str, error: type[BadInput] = BadInput) -> Callable[..., Any]:
    """Import `module` (the current folder is searched too) and return its `factory`.

    Args:
        what: what messages call it: `dataset`, `network`.
        name: `module:factory`.
        error: what is raised.

    Raises:
        BadInput: no such module or factory, or the module raises.
    """
    module_name, _, factory_name = name.partition(":")
    if not module_name or not factory_name:
        raise error(f"{what} {name!r}: needs module:factory")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as problem:  # anything: it is the user's code
        raise error(f"{what} {name}: cannot import {module_name!r} ({line(problem)})") from problem
    finally:
        if here in sys.path:
            sys.path.remove(here)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise error(f"{what} {name}: {module_name} has no callable {factory_name!r}")
    return factory  # type: ignore[no-any-return]


def member(what: str, name: str, registry: MutableMapping[str, Member], kind: type) -> Member:
    """A member of a registry by name, or of the user's own code, which is registered by that.

    Args:
        what: what messages call it: `backend`, `defence`.
        name: a name in the registry, or `module:factory`; the factory takes no arguments and
            returns the member, whose `name` is the key.
        registry: members by name.
        kind: what a member is.

    Raises:
        BadInput: an unknown name; no such module or factory, or it raises; no such member comes
            back, or one whose name another member has.
    """
    if ":" not in name:
        if name not in registry:
            raise BadInput(unknown(what, name, registry))
        return registry[name]
    made: Member = _made(what, name)
    if not isinstance(made, kind):
        needed = f"{kind.__module__}.{kind.__name__}"
        raise BadInput(f"{what} {name}: the factory returned {type(made).__name__}, need {needed}")
    own = getattr(made, "name", None)
    if not isinstance(own, str) or not own or ":" in own:
        raise BadInput(f"{what} {name}: its name is {own!r}, need a text without a colon")
    if registry.setdefault(own, made) != made:
        raise BadInput(f"{what} {name}: the name {own!r} is taken, give it another")
    return made


@cache
def _made(what: str, name: str) -> Any:
    """What the factory returns, called once in a process."""
    factory = find(what, name)
    try:
        return factory()
    except (Exception, SystemExit) as error:  # anything: it is the user's code
        raise BadInput(f"{what} {name}: the factory raised {line(error)}") from error


def line(error: BaseException) -> str:
    """An exception of the user's code in one line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(
        ": "
    )
