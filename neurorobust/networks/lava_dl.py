"""Importing lava-dl without its chatter: it prints to stdout, which belongs to `--json`.

torch's extension builder, which lava-dl imports, adds a line about CUDA on stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from types import ModuleType

from neurorobust.errors import UnavailableError

INSTALL_LINE = 'lava-dl needs Python 3.10: pip install "lava-nc==0.10.0" "lava-dl==0.6.0"'


@contextlib.contextmanager
def older_weight_norm() -> Iterator[None]:
    """Let lava-dl's blocks use the older of torch's two weight norms without torch's warning.

    Every other warning passes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*weight_norm.*deprecated.*")
        yield


def import_slayer() -> ModuleType:
    """`lava.lib.dl.slayer`, imported with stdout and stderr held shut.

    Raises:
        UnavailableError: lava-dl is not installed, or a module it needs is not.
    """
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("lava.lib.dl.slayer")
        except ImportError as error:
            raise UnavailableError(f"lava-dl: {error}; {INSTALL_LINE}") from error
