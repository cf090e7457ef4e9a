"""Views of arrays whose reference counts numba does not touch.

numba counts who holds an array, also of every row a loop takes from one: two locked instructions a
row, on a line of memory that all threads write to. A view without an owner is not counted.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic


def _disown(_: Any, array: Any) -> Any:
    """The array, counted no more: somebody else must hold it for as long as it is used.

    The caller of a compiled function holds its arguments. What a compiled function makes itself is
    gone after its last mention.
    """

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(array)(context, build, arguments[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        view.parent = ir.Constant(view.parent.type, None)
        return view._getvalue()

    return array(array), generate


uncounted: Any = intrinsic(_disown)
