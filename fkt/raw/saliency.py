"""Where an image draws the eye, without any label: the spectral residual (Hou & Zhang, CVPR 2007)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fkt.raw.decode import as_channels
from fkt.raw.source import Pixels

SIDE = 64
"""Larger images are judged at this size, the authors'. Smaller ones stay as they are: enlarged, they have no detail
where the spectrum looks for it (on 16-pixel digits 54 % instead of 65 % of the saliency then lies on the strokes, which
cover 37 %)."""
_SIGMA = 2.5 / 64
"""Of the Gaussian that smooths a map, in image sides; that of the authors' code."""

Maps = NDArray[np.float64]


def saliency_maps(images: Pixels) -> Pixels:
    """Return how salient each pixel is, from 0 to 255 in each image: (N, S, S, C) uint8 -> (N, S, S) uint8.

    The log-amplitude of the luma's spectrum minus its average over 3 x 3 frequencies, with the phase as it is, goes
    back into the image; what is squared and smoothed there is the map. An image of one brightness has an empty one.
    """
    size = images.shape[1]
    gray = [as_channels(image if image.shape[2] == 3 else image[:, :, 0], 1)[:, :, 0] for image in images]
    side = min(size, SIDE)
    maps = spectral_residual(np.stack([_resized(one, side, Image.Resampling.BOX) for one in gray]).astype(np.float64))
    maps -= maps.min(axis=(1, 2), keepdims=True)
    top = maps.max(axis=(1, 2), keepdims=True)
    varied = np.array([one.min() < one.max() for one in gray])[:, None, None]
    maps = np.divide(255 * maps, top, out=np.zeros_like(maps), where=varied & (top > 0))
    return np.stack([_rounded(_resized(one, size, Image.Resampling.BILINEAR)) for one in maps])


def spectral_residual(images: Maps) -> Maps:
    """Return the smoothed saliency of (N, S, S) images in gray levels (0 to 255): (N, S, S), at least 0, of any scale.

    What is weaker than the rounding to whole gray levels is taken for that rounding: its logarithm says nothing. The
    average repeats the border of the spectrum, and beyond the image there is no saliency, as in the authors' code.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    size = images.shape[1]
    spectrum = np.fft.fft2(images)
    rounding = size / np.sqrt(12)  # of size * size numbers with a variance of 1/12 each
    average = uniform_filter(np.log(np.maximum(np.abs(spectrum), rounding)), size=(1, 3, 3), mode="nearest")
    back = np.abs(np.fft.ifft2(spectrum * np.exp(-average))) ** 2
    smoothed: Maps = gaussian_filter(back, sigma=(0, _SIGMA * size, _SIGMA * size), mode="constant")
    return smoothed


def _resized(image: NDArray[Any], size: int, how: Image.Resampling) -> NDArray[np.float32]:
    """Resize (S, S) numbers to (size, size)."""
    numbers = image.astype(np.float32)
    return numbers if len(image) == size else np.asarray(Image.fromarray(numbers).resize((size, size), how))


def _rounded(numbers: NDArray[np.float32]) -> Pixels:
    """Round numbers from 0 to 255 half up."""
    found: Pixels = (numbers + 0.5).astype(np.uint8)
    return found
