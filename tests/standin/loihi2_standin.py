"""A stand-in for the public surface of Lava's private Loihi extension, on Lava's CPU models.

`LOIHI2_STANDIN` is JSON: `latency` (steps of the input adapter, of the output adapter, of the state
reader), `fail` (selection is `sinfo`'s business; compile, start, run, transfer, stop, hang), `lie`
(one output spike is wrong), `without` (names that its profilers lack, or `modules` to hide), `log`
(a file that says when a board is taken and given back). Import of the four private modules then
works, `Loihi2HwCfg` chooses Lava's fixed-point models, and everything else is the public package.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

_NC = "lava.magma.compiler.subcompilers.nc"
MODULES = {
    _NC: True,  # a package
    f"{_NC}.ncproc_compiler": False,
    "lava.proc.embedded_io": True,
    "lava.proc.embedded_io.spike": False,
    "lava.proc.embedded_io.state": False,
    "lava.utils.loihi2_profiler": False,
}


def settings() -> dict[str, Any]:
    given = json.loads(os.environ["LOIHI2_STANDIN"] or "{}")
    return {"latency": (0, 0, 1), "fail": "", "lie": False, "without": [], "log": "", **given}


def install() -> None:
    sys.meta_path.insert(0, Finder())


def note(what: str) -> None:
    if settings()["log"]:
        with Path(settings()["log"]).open("a") as file:
            file.write(f"{what}\n")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The private modules, filled when they are imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in MODULES or any(name.startswith(hidden) for hidden in settings()["without"]):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=MODULES[name])

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__.startswith("lava.proc.embedded_io"):
            import loihi2_standin_io

            patch()
            if module.__name__.endswith("embedded_io"):
                from lava.proc.embedded_io import spike, state  # noqa: F401
            for name in loihi2_standin_io.SURFACE.get(module.__name__.rpartition(".")[2], ()):
                setattr(module, name, getattr(loihi2_standin_io, name))
        elif module.__name__.endswith("loihi2_profiler"):
            for profiler in (Loihi2Power, Loihi2ExecutionTime, Loihi2Activity, Loihi2Memory):
                if profiler.__name__ not in settings()["without"]:
                    setattr(module, profiler.__name__, profiler)


class _Profiler:
    """Measures nothing before a run configuration knows it."""

    values: ClassVar[dict[str, Any]] = {}

    def __init__(self, num_steps: int | None = None) -> None:
        self.attached = False

    def __getattr__(self, name: str) -> Any:
        if name in type(self).values and self.attached:
            return type(self).values[name]
        raise AttributeError(name)


class Loihi2Power(_Profiler):
    values: ClassVar[dict[str, Any]] = {
        "total_power": np.array([0.6, 0.8]),
        "vdd_power": np.array([0.3]),
        "vddm_power": np.array([0.2]),
        "vddio_power": np.array([0.1]),
        "static_total_power": 0.25,
        "static_vdd_power": 0.1,
        "static_vddm_power": 0.1,
        "static_vddio_power": 0.05,
    }


class Loihi2ExecutionTime(_Profiler):
    values: ClassVar[dict[str, Any]] = {"avg_time_per_step": 2.5}


class Loihi2Activity(_Profiler):
    values: ClassVar[dict[str, Any]] = {
        "spikes_in": np.array([3, 4]),
        "syn_ops": np.array([10, 20]),
        "dendrite_updates": np.array([5, 5]),
        "axon_out": np.array([1, 1]),
    }


class Loihi2Memory(_Profiler):
    values: ClassVar[dict[str, Any]] = {"core_idx": np.array([0, 1, 2])}


def patch() -> None:
    """What the private package replaces or adds in Lava's public classes."""
    from lava.magma.core import run_configs
    from lava.magma.core.process.process import AbstractProcess
    from lava.magma.core.process.variable import Var
    from lava.magma.runtime.runtime import Runtime

    if hasattr(run_configs.Loihi2HwCfg, "standin"):
        return
    fail = settings()["fail"]

    class Loihi2HwCfg(run_configs.Loihi2SimCfg):  # type: ignore[misc, name-defined]
        standin = True

        def __init__(
            self,
            select_sub_proc_model: bool = False,
            callback_fxs: Any = None,
            exception_proc_model_map: Any = None,
        ) -> None:
            super().__init__(
                select_tag="fixed_pt",
                select_sub_proc_model=select_sub_proc_model,
                exception_proc_model_map=exception_proc_model_map,
            )
            for callback in callback_fxs or ():
                callback.attached = True

        def select(self, process: Any, models: Any) -> Any:
            if fail == "compile":
                raise RuntimeError("no cores left")
            return super().select(process, models)

    run_configs.Loihi2HwCfg = Loihi2HwCfg
    initialize, stop, get = Runtime.initialize, AbstractProcess.stop, Var.get

    def initialise(self: Any, *arguments: Any) -> Any:
        if fail == "start":
            raise RuntimeError("the board is busy")
        note("taken")
        return initialize(self, *arguments)

    def stopped(self: Any) -> Any:
        stop(self)
        note("given back")
        if fail == "stop":
            raise RuntimeError("the board does not answer")

    def fetch(self: Any, *arguments: Any) -> Any:
        if fail == "transfer" and self.name == "data":
            raise RuntimeError("the channel is closed")
        return get(self, *arguments)

    Runtime.initialize, AbstractProcess.stop, Var.get = initialise, stopped, fetch
