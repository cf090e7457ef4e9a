"""`module:factory` on the command line: something from the user's own Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurorobust.errors import BadInput


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
    except Exception as problem:  # anything: it is the user's code
        raise error(f"{what} {name}: cannot import {module_name!r} ({line(problem)})") from problem
    finally:
        if here in sys.path:
            sys.path.remove(here)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise error(f"{what} {name}: {module_name} has no callable {factory_name!r}")
    return factory  # type: ignore[no-any-return]


def line(error: BaseException) -> str:
    """An exception of the user's code in one line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(
        ": "
    )
