"""`module:factory`: data from the user's own Python."""

from __future__ import annotations

from neurorobust.datasets.base import Dataset, Request
from neurorobust.datasets.check import checked
from neurorobust.errors import DatasetError
from neurorobust.support import user_code


def load(request: Request) -> Dataset:
    """Import `module` (the current folder is searched too) and call `factory(split)`.

    The factory returns `(x, y)` as `check.checked` takes them, or a `Dataset`; both are checked.
    A `Dataset` of split `all` serves as both splits; else each split must hold other samples.

    Raises:
        DatasetError: no such module or factory, it raises, or what it returns is unsound.
    """
    factory = user_code.find("dataset", request.name, DatasetError)
    try:
        made = factory(request.split)
    except Exception as error:  # anything: it is the user's code
        raise DatasetError(
            f"dataset {request.name}: the factory raised {user_code.line(error)}"
        ) from error
    if isinstance(made, Dataset):
        split = "all" if made.split == "all" else request.split
        return checked(request.name, split, made.x, made.y, made.classes)
    if isinstance(made, tuple) and len(made) == 2:
        return checked(request.name, request.split, made[0], made[1])
    raise DatasetError(
        f"dataset {request.name}: the factory returned {type(made).__name__}, "
        "need (x, y) or Dataset"
    )
