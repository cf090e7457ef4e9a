"""The board's own measurements: power, time, activity, memory, as far as its profilers offer them.

`lava.utils.loihi2_profiler` is private; its names are those that public code uses (lava-dl's
`pilotnet_snn/benchmark.ipynb`, and users' benchmarks). What a version lacks is listed as missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_POWER = ("total_power", "vdd_power", "vddm_power", "vddio_power")  # watts, one value a sample
_STATIC = ("static_total_power", "static_vdd_power", "static_vddm_power", "static_vddio_power")
_ACTIVITY = ("spikes_in", "syn_ops", "dendrite_updates", "axon_out")  # counts, one value a core


class Profilers:
    """The profilers of one run.

    Args:
        steps: that the run will take.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._missing: list[str] = []
        self._power = self._make("Loihi2Power", num_steps=steps)
        self._time = self._make("Loihi2ExecutionTime")
        self._activity = self._make("Loihi2Activity")
        self._memory = self._make("Loihi2Memory")

    @property
    def callbacks(self) -> list[Any]:
        """For `Loihi2HwCfg(callback_fxs=...)`."""
        everything = (self._power, self._time, self._activity, self._memory)
        return [profiler for profiler in everything if profiler is not None]

    def results(self, steps_a_sample: int) -> dict[str, Any]:
        """Watts, microseconds, joules, counts; and what is missing.

        Args:
            steps_a_sample: the reset interval, to say time and energy of one sample.
        """
        found: dict[str, Any] = {"profiled_steps": self._steps}
        for name in _POWER:
            self._read(found, self._power, name, f"{name}_w", np.mean)
        for name in _STATIC:
            self._read(found, self._power, name, f"{name}_w", np.mean)
        self._read(found, self._time, "avg_time_per_step", "time_per_step_us", np.mean)
        for name in _ACTIVITY:
            self._read(found, self._activity, name, name, np.sum)
        self._read(found, self._memory, "core_idx", "cores", len)
        if "time_per_step_us" in found:
            found["time_per_sample_us"] = found["time_per_step_us"] * steps_a_sample
            if "total_power_w" in found:
                joules = found["total_power_w"] * found["time_per_sample_us"] * 1e-6
                found["energy_per_sample_j"] = joules
        if self._missing:
            found["missing"] = ", ".join(self._missing)
        return found

    def _make(self, name: str, **arguments: int) -> Any:
        try:
            from lava.utils import loihi2_profiler

            return getattr(loihi2_profiler, name)(**arguments)
        except (ImportError, AttributeError) as error:
            self._missing.append(f"{name} ({type(error).__name__})")
            return None

    def _read(self, found: dict[str, Any], profiler: Any, name: str, key: str, reduce: Any) -> None:
        if profiler is None:
            return
        try:
            found[key] = float(reduce(np.atleast_1d(getattr(profiler, name))))
        except Exception as error:  # a private package: the run's spikes are worth more than this
            self._missing.append(f"{type(profiler).__name__}.{name} ({type(error).__name__})")
