"""Gradients of the margin and of the cross-entropy under many surrogates, asked of the engine."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorobust.classifier import Classifier
from neurorobust.surrogates import Surrogate

# shapes and widths on both sides of those that `standard` takes
SURROGATES = (
    Surrogate("fast-sigmoid", 0.25),
    Surrogate("triangle", 1.0),
    Surrogate("atan", 1.0),
    Surrogate("gaussian", 0.5),
    Surrogate("triangle", 2.0),
    Surrogate("fast-sigmoid", 1.0),
    Surrogate("rectangle", 1.0),
    Surrogate("sigmoid", 2.0),
    Surrogate("straight-through", 1.0),
    Surrogate("triangle", 0.5),
)
BATCH = 128


def gradient(
    classifier: Classifier, x: Tensor, labels: Tensor, surrogate: Surrogate, loss: str = "margin",
    targets: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What makes the true class lose: float32, x's shape; each sample's has a largest entry of 1.

    Args:
        classifier: on the engine.
        x: images, or spikes.
        labels: true classes.
        surrogate: of the backward pass.
        loss: `margin`, the best wrong class against the true one, or `ce`.
        targets: wrong classes; None: the best one.
    """
    asked = classifier.with_backward(surrogate)
    parts = []
    for start in range(0, len(x), BATCH):
        some = slice(start, start + BATCH)
        z = x[some].to(torch.float32).clone().requires_grad_(True)
        logits = asked.logits(z) * (asked.readout.scale if asked.readout.kind == "count" else 8.0)
        true = labels[some, None]
        if loss == "ce":
            total = torch.nn.functional.cross_entropy(logits, labels[some], reduction="sum")
        else:
            others = logits.scatter(1, true, -torch.inf)
            if targets is None:
                against = others.amax(1)
            else:
                against = logits.gather(1, targets[some, None])[:, 0]
            total = (against - logits.gather(1, true)[:, 0]).sum()
        (found,) = torch.autograd.grad(total, z)
        found = torch.nan_to_num(found, 0.0, 0.0, 0.0)
        largest = found.flatten(1).abs().amax(1).clamp_min(1e-30)
        parts.append(found / largest.view(-1, *[1] * (found.dim() - 1)))
    return torch.cat(parts)
