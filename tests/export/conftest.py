"""Small networks as lava-dl's users write them: a class with `blocks` and a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neurorobust.networks.blocks import _quiet
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.types import Inputs

NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.06}
STEPS = 12


class Tutorial(nn.Module):
    """What lava-dl's tutorials call Network."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, spike: Tensor) -> Tensor:
        for block in self.blocks:
            spike = block(spike)
        return spike


@dataclass(frozen=True)
class Case:
    """A network, the shape of its frames, and what its stock Input block is fed."""

    module: nn.Module
    shape: tuple[int, int, int]
    samples: Tensor | None = None
    driven: bool = False

    def inputs(self, batch: int = 4, steps: int = STEPS, seed: int = 1) -> Inputs:
        generator = torch.Generator().manual_seed(seed)
        if self.driven:
            drive = torch.randint(-40, 220, (batch, *self.shape), generator=generator)
            return Inputs.drive(drive.to(torch.int32), steps)
        noise = torch.rand((batch, *self.shape, steps), generator=generator)
        return Inputs.of((noise < 0.3).to(torch.uint8))


def _dense(n_in: int, n_out: int, neuron: dict[str, Any] | None = None, **more: Any) -> nn.Module:
    made = _quiet(
        import_slayer().block.cuba.Dense,
        {**NEURON, **(neuron or {})},
        n_in,
        n_out,
        **{"weight_scale": 3, "delay_shift": False, **more},
    )
    return made


def _conv(n_in: int, n_out: int, neuron: dict[str, Any] | None = None, **more: Any) -> nn.Module:
    given = {"weight_scale": 3, "delay_shift": False, "padding": 1, "stride": 2, **more}
    kernel = given.pop("kernel", 3)
    made = _quiet(
        import_slayer().block.cuba.Conv, {**NEURON, **(neuron or {})}, n_in, n_out, kernel, **given
    )
    return made


@pytest.fixture(scope="session")
def dense() -> Callable[..., nn.Module]:
    """`dense(in, out, neuron, **block)`."""
    return _dense


@pytest.fixture(scope="session")
def conv() -> Callable[..., nn.Module]:
    """`conv(in, out, neuron, **block)`: 3x3, stride 2, padding 1."""
    return _conv


@pytest.fixture(scope="session")
def tutorial() -> Callable[..., nn.Module]:
    """`tutorial(block, ...)`: an nn.Module with a forward loop."""
    return lambda *blocks: Tutorial(blocks)


@pytest.fixture(scope="session")
def cases() -> dict[str, Callable[[], Case]]:
    """Networks that between them hold everything that is exported, by name."""
    from neurorobust.networks.blocks import SpikeInput
    from neurorobust.networks.input import InputBlock

    slayer = import_slayer()
    cuba, norm = slayer.block.cuba, slayer.neuron.norm
    image = (2, 6, 5)

    def warm(module: nn.Module, shape: tuple[int, ...] = image) -> nn.Module:
        """Two forward passes in training mode: running statistics, drawn delays and decays."""
        module.train()
        for _ in range(2):
            module((torch.rand(8, *shape, STEPS) < 0.3).float())
        return module

    def delayed(block: Any, delays: Sequence[float]) -> Any:
        block.delay.delay.data, block.delay.init = torch.tensor(delays), True
        return block

    def plain(*blocks: nn.Module, shape: tuple[int, int, int] = image) -> Case:
        return Case(Tutorial(blocks), shape)

    def scaled(gain: float, **decays: float) -> Case:
        wide = {"norm": norm.WgtScaleBatchNorm, **decays}
        blocks = [
            _conv(2, 4, wide, weight_scale=gain),
            cuba.Flatten(),
            _dense(36, 10, wide, weight_scale=gain),
            _dense(10, 4),
        ]
        return Case(warm(Tutorial(blocks)), image)

    def mean_only(**more: Any) -> list[nn.Module]:
        neuron = {"norm": norm.MeanOnlyBatchNorm}
        return [
            _conv(2, 4, neuron, **more),
            cuba.Flatten(),
            _dense(36, 10, neuron, **more),
            _dense(10, 4, **more),
        ]

    def stock_input() -> Case:
        levels = torch.arange(-64, 64).reshape(-1, 1, 1, 1).expand(-1, *image) / 32
        first = cuba.Input({**NEURON, "current_decay": 1.0}, delay_shift=False)
        return Case(
            Tutorial([first, cuba.Flatten(), _dense(60, 12), _dense(12, 4)]), image, levels, True
        )

    def recurrent(neuron: dict[str, Any] | None = None) -> nn.Module:
        made: nn.Module = cuba.Recurrent(
            {**NEURON, **(neuron or {})}, 60, 14, weight_scale=3, delay_shift=False
        )
        return made

    own = {"shared_param": False, "current_decay": (0.1, 0.6), "voltage_decay": (0.02, 0.3)}

    def per_channel_conv() -> Case:
        blocks = [_conv(2, 5, own), cuba.Flatten(), _dense(45, 6, own)]
        for block, channels in ((blocks[0], 5), (blocks[2], 6)):
            neuron: Any = block.neuron
            for name in ("current_decay", "voltage_decay"):
                low, high = getattr(neuron, f"{name}_min"), getattr(neuron, f"{name}_max")
                getattr(neuron, name).data = 4096 * (low + (high - low) * torch.rand(channels))
                delattr(neuron, f"{name}_min")
                delattr(neuron, f"{name}_max")
        blocks[0].neuron.shape = torch.Size((5, 3, 3))
        blocks[2].neuron.shape = torch.Size((6,))
        return plain(*blocks)

    def masked() -> nn.Module:
        mask = (torch.rand(12, 60) < 0.5).float()
        return _dense(60, 12, mask=mask, weight_scale=5)

    def readout(dynamics: bool, **more: Any) -> list[nn.Module]:
        affine = cuba.Affine({**NEURON, **more}, 12, 4, weight_scale=3, dynamics=dynamics)
        return [cuba.Flatten(), _dense(60, 12), affine]

    def everything_driven() -> Case:
        """On-chip input, scaled norms, own decays, pool, delays, recurrence, a readout."""
        wide = {"norm": norm.WgtScaleBatchNorm, "current_decay": 0.0, "voltage_decay": 0.0}
        blocks = [
            _conv(2, 4, wide, stride=1, weight_scale=3),
            cuba.Pool({**NEURON}, 2, weight_scale=0.9, delay_shift=False),
            cuba.Flatten(),
            delayed(_dense(36, 12, delay=True), [float(n % 4) for n in range(12)]),
            _dense(12, 60, own, weight_scale=6),
            recurrent({"norm": norm.MeanOnlyBatchNorm, "current_decay": 1.0}),
            cuba.Affine({**NEURON}, 14, 4, weight_scale=3, dynamics=True),
        ]
        trained = warm(Tutorial(blocks))
        return Case(Tutorial([InputBlock(image, 3.0, 0.05), *trained.blocks]), image, None, True)

    def everything_spiking() -> Case:
        """Groups, weight norm, means, dropout, masks, recurrence, a running sum, shifts."""
        mean = {"norm": norm.MeanOnlyBatchNorm}
        blocks = [
            cuba.Input(delay_shift=False),
            _conv(2, 4, mean, groups=2, weight_norm=True, delay_shift=True),
            _conv(4, 6, {"dropout": slayer.neuron.Dropout(0.3)}, stride=1, delay_shift=True),
            cuba.Flatten(),
            _dense(54, 60, mean, weight_norm=True, delay_shift=True),
            masked(),
            _dense(12, 60, weight_scale=6, delay_shift=True),
            recurrent(),
            cuba.Affine({**NEURON}, 14, 4, weight_scale=3, dynamics=False),
        ]
        return Case(warm(Tutorial(blocks)), image)

    return {
        "everything-driven": everything_driven,
        "everything-spiking": everything_spiking,
        "dense": lambda: plain(cuba.Input(delay_shift=False), cuba.Flatten(), _dense(60, 12)),
        "features": lambda: plain(_dense(20, 12), _dense(12, 4), shape=(20, 1, 1)),
        "conv": lambda: plain(_conv(2, 4), _conv(4, 6), cuba.Flatten(), _dense(24, 4)),
        "grouped": lambda: plain(
            _conv(2, 4, groups=2, kernel=(3, 2), stride=1, padding=(2, 1), dilation=(2, 1)),
            cuba.Flatten(),
            _dense(144, 4),
        ),
        "recurrent": lambda: plain(cuba.Flatten(), recurrent(), _dense(14, 4)),
        "recurrent-norm": lambda: Case(
            warm(
                Tutorial(
                    [
                        cuba.Flatten(),
                        recurrent({"norm": norm.MeanOnlyBatchNorm, "current_decay": 1.0}),
                        _dense(14, 4),
                    ]
                )
            ),
            image,
        ),
        "delays": lambda: plain(
            cuba.Flatten(),
            delayed(_dense(60, 6, delay=True, weight_scale=5), [0, 1.9, 5.0, 2.5, 0.3, 7.0]),
            _dense(6, 4, delay=True, weight_scale=5),
        ),
        "affine-sum": lambda: plain(*readout(False)),
        "affine-dynamics": lambda: plain(*readout(True)),
        "affine-norm": lambda: Case(
            warm(Tutorial(readout(True, norm=norm.MeanOnlyBatchNorm))), image
        ),
        "mean-only": lambda: Case(warm(Tutorial(mean_only())), image),
        "wgt-scale-up": lambda: scaled(24.0, current_decay=1.0, voltage_decay=0.0),
        "wgt-scale-down": lambda: scaled(1.0, voltage_decay=0.0),
        "wgt-scale-up-leaky": lambda: scaled(9.0),
        "wgt-scale-down-leaky": lambda: scaled(1.0),
        "weight-norm": lambda: plain(
            _conv(2, 4, weight_norm=True),
            cuba.Flatten(),
            _dense(36, 10, weight_norm=True),
            _dense(10, 4, weight_norm=True),
        ),
        "pool-sum": lambda: plain(
            _conv(2, 4, stride=1),
            cuba.Pool({**NEURON}, 2, weight_scale=0.9, delay_shift=False),
            cuba.Flatten(),
            _dense(36, 4),
        ),
        "pool-average": lambda: plain(
            cuba.Pool({**NEURON, "threshold": 0.5}, (3, 2), weight_scale=1 / 6, delay_shift=False),
            cuba.Flatten(),
            _dense(12, 4, weight_scale=5),
        ),
        "dropout": lambda: plain(
            cuba.Flatten(), _dense(60, 12, {"dropout": slayer.neuron.Dropout(0.5)}), _dense(12, 4)
        ),
        "decays-a-channel": per_channel_conv,
        "mask": lambda: plain(cuba.Flatten(), masked(), _dense(12, 4)),
        "shifted": lambda: plain(
            _conv(2, 4, delay_shift=True),
            cuba.Flatten(),
            _dense(36, 10, delay_shift=True),
            _dense(10, 4, delay_shift=True),
        ),
        "stock-input": stock_input,
        "own-input": lambda: Case(
            Tutorial([InputBlock(image, 3.0, 0.05), *warm(Tutorial(mean_only())).blocks]),
            image,
            None,
            True,
        ),
        "own-declaration": lambda: plain(SpikeInput(image), cuba.Flatten(), _dense(60, 4)),
    }
