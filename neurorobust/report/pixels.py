"""Images and what was changed in them, pixel by pixel, as inline SVG around a PNG."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from neurorobust.report.samples import Images

# Spikes in both runs, only in the attacked one, only in the clean one: read on light and on dark.
KEPT, ADDED, LOST = (120, 128, 140), (214, 84, 30), (40, 120, 220)

Pixels = npt.NDArray[np.uint8]


def picture(image: Images, label: str) -> Markup:
    """An image `[C, H, W]` in [0, 1], pixel by pixel."""
    return _pixels(_as_bytes(_as_colour(np.clip(image, 0, 1))), label)


def difference(clean: Images, attacked: Images, label: str) -> Markup:
    """What was changed: brighter pixels in the colour of added, darker ones in that of lost.

    The largest change is opaque; the mean over channels where there are several.
    """
    change = (attacked - clean).mean(0)
    largest = float(np.abs(change).max())
    pixels = np.zeros((*change.shape, 4), dtype=np.uint8)
    pixels[change > 0, :3] = ADDED
    pixels[change < 0, :3] = LOST
    if largest > 0:
        pixels[..., 3] = np.rint(255 * np.abs(change) / largest)
    return _pixels(pixels, label)


def _as_colour(image: Images) -> Images:
    """`[H, W, 3]`: grey for one channel, colours for three, the mean of any other number."""
    if image.shape[0] != 3:
        image = np.repeat(image.mean(0, keepdims=True), 3, axis=0)
    return np.moveaxis(image, 0, -1)


def _as_bytes(colour: Images) -> Pixels:
    pixels: Pixels = np.rint(255 * colour).astype(np.uint8)
    return pixels


def _pixels(pixels: Pixels, label: str) -> Markup:
    from matplotlib.image import imsave

    height, width = pixels.shape[:2]
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", metadata={"Software": ""}, pil_kwargs={"optimize": True})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup(
        '<svg class="pixels" role="img" aria-label="{}" viewBox="0 0 {} {}">'
        '<image width="{}" height="{}" href="data:image/png;base64,{}"/></svg>'
    ).format(label, width, height, width, height, data)
