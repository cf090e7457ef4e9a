"""`module:factory`: data from the user's own Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import checked
from neurorobust.errors import DatasetError


def load(request: Request) -> Dataset:
    """Import `module` (the current folder is searched too) and call `factory(split)`.

    The factory returns `(x, y)` as `check.checked` takes them, or a `Dataset`; both are checked.

    Raises:
        DatasetError: no such module or factory, it raises, or what it returns is unsound.
    """
    module_name, _, factory_name = request.name.partition(":")
    factory = _find(request.name, module_name, factory_name)
    try:
        made = factory(request.split)
    except Exception as error:  # anything: it is the user's code
        raise DatasetError(f"dataset {request.name}: the factory raised {_line(error)}") from error
    if isinstance(made, Dataset):
        return checked(request.name, request.split, made.x, made.y, made.classes)
    if isinstance(made, tuple) and len(made) == 2:
        return checked(request.name, request.split, made[0], made[1])
    raise DatasetError(
        f"dataset {request.name}: the factory returned {type(made).__name__}, "
        "need (x, y) or Dataset"
    )


def _find(name: str, module_name: str, factory_name: str) -> Callable[[str], Any]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # anything: it is the user's code
        raise DatasetError(
            f"dataset {name}: cannot import {module_name!r} ({_line(error)})"
        ) from error
    finally:
        if here in sys.path:
            sys.path.remove(here)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise DatasetError(f"dataset {name}: {module_name} has no callable {factory_name!r}")
    return factory  # type: ignore[no-any-return]


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(
        ": "
    )
