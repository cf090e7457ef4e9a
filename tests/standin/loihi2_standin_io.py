"""`lava.proc.embedded_io` as far as it is public: adapters and a state reader, late as asked."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import loihi2_standin
import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

SURFACE = {
    "spike": ("PyToNxAdapter", "PyToN3ConvAdapter", "NxToPyAdapter"),
    "state": ("Read",),
}
CALIBRATION = 3  # its layer's neurons


class _Adapter(AbstractProcess):
    path = 0  # which of the latencies

    def __init__(self, *, shape: tuple[int, ...], num_message_bits: int = 0) -> None:
        super().__init__(shape=shape)
        self.inp, self.out = InPort(shape=shape), OutPort(shape=shape)
        self.proc_params["late"] = loihi2_standin.settings()["latency"][self.path]


class PyToNxAdapter(_Adapter):
    def __init__(self, *, shape: tuple[int, ...], num_message_bits: int = 0) -> None:
        assert len(shape) == 1, shape
        super().__init__(shape=shape)


class PyToN3ConvAdapter(_Adapter):
    def __init__(
        self, *, shape: tuple[int, ...], num_message_bits: int = 16, compression: Any = None
    ) -> None:
        assert len(shape) == 3, shape
        super().__init__(shape=shape)


class NxToPyAdapter(_Adapter):
    path = 1


class Read(AbstractProcess):
    def __init__(self, *, shape: tuple[int, ...], interval: int = 1, offset: int = 0) -> None:
        super().__init__(shape=shape)
        self.state, self.out = RefPort(shape=shape), OutPort(shape=shape)
        self.proc_params["late"] = loihi2_standin.settings()["latency"][2]
        self.proc_params["every"] = (interval, offset)

    def connect_var(self, variable: Any) -> None:
        self.state.connect_var(variable)


class _Late(PyLoihiProcessModel):
    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        if not hasattr(self, "queue"):
            self.queue: deque[Any] = deque()
            self.given = loihi2_standin.settings()
        self.queue.append(self.change(np.array(self.inp.recv())))
        late = self.proc_params["late"]
        self.out.send(
            self.queue.popleft() if len(self.queue) > late else np.zeros_like(self.queue[0])
        )

    def change(self, data: Any) -> Any:
        return data


class _In(_Late):
    def change(self, data: Any) -> Any:
        if self.time_step == 20 and self.given["fail"] == "run":
            raise RuntimeError("the adapter lost the chip")
        if self.time_step == 20 and self.given["fail"] == "hang":
            time.sleep(1000)
        return data


@implements(proc=PyToNxAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyToNxModel(_In):
    pass


@implements(proc=PyToN3ConvAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyToN3ConvModel(_In):
    pass


@implements(proc=NxToPyAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class NxToPyModel(_Late):
    def change(self, data: Any) -> Any:
        if self.given["lie"] and data.size != CALIBRATION and self.time_step == 8:
            data.reshape(-1)[1] ^= 1
        return data


@implements(proc=Read, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class ReadModel(PyLoihiProcessModel):
    state: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, int)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def post_guard(self) -> bool:
        interval, offset = self.proc_params["every"]
        return (self.time_step - offset) % interval == 0

    def run_post_mgmt(self) -> None:
        self.values().append(np.array(self.state.read(), dtype=np.int32) & 0xFFFFFF)

    def values(self) -> Any:
        if not hasattr(self, "queue"):
            late = self.proc_params["late"]
            assert late >= 1, "a state is read after its step"
            self.queue: Any = deque([np.zeros(self.out.shape, dtype=np.int32)] * late)
        return self.queue

    def run_spk(self) -> None:
        self.out.send(self.values().popleft())
