"""Image files of every kind as 8-bit pixels, or the reason why not; one image at a time."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fkt.core.errors import CorruptData

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What pillow's decoders raise when the bytes are not what they claim to be; none of them is a fault of ours."""

_MODES = {1: "L", 3: "RGB"}


class Unreadable(CorruptData):
    """One image file that cannot be decoded, with the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        """path: the file; reason: what is wrong with it, in one line without the path."""
        super().__init__(f"{path}: {reason}")
        self.reason = reason


def decode_file(path: Path, channels: int, background: str = "white") -> NDArray[np.uint8]:
    """Decode an image file to (H, W, channels) uint8, upright as its EXIF tag says.

    channels: 3 is RGB, 1 is luma (ITU-R BT.601). background: what transparent pixels are laid over, by default white,
    which is what a viewer shows and what keeps black line art visible. Images of 16 bits are scaled by the whole 16-bit
    range, never clipped (gray as v / 257, rounded; of color, pillow keeps the high byte); floating-point images are
    taken to lie in [0, 1], or in [0, 255] if any value is above 1. Of several frames or pages the first is taken.
    Embedded color profiles are ignored.

    Raises Unreadable for a file that is absent, empty, truncated, no image, of undefined brightness range, or so
    large that pillow takes it for a decompression bomb.
    """
    try:
        with Image.open(path) as image:
            image.load()  # the whole file: a truncated one fails here instead of being half gray
            return as_channels(_eight_bit(ImageOps.exif_transpose(image), background), channels)
    except DECODER_ERRORS as error:
        raise Unreadable(path, _reason(path, error)) from error


def as_channels(image: Image.Image | NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return (H, W, channels) uint8 of an 8-bit image, or of pixels (H, W) or (H, W, 3); see decode_file."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    pixels = np.asarray(picture.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def _eight_bit(image: Image.Image, background: str) -> Image.Image:
    """Bring any mode of pillow to L or RGB; pillow's own conversion clips whatever has more than 8 bits."""
    if image.mode.startswith("I"):  # I;16 and its byte orders; I where an older pillow opened 16 bits as 32
        return Image.fromarray(_scaled(np.asarray(image).astype(np.float64), 65535.0))
    if image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(_scaled(values, 1.0 if values.max() <= 1.0 else 255.0))
    if image.has_transparency_data:
        color = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", color.size, background), color).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _scaled(values: NDArray[np.float64], top: float) -> NDArray[np.uint8]:
    """Map [0, top] to [0, 255]; raises ValueError for what lies outside, whose brightness nobody can know."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= top):  # written so that nan fails as well
        raise ValueError(f"its values run from {low:g} to {high:g}, which is no known range; convert it to 8 bits")
    return np.floor(values * (255.0 / top) + 0.5).astype(np.uint8)


def _reason(path: Path, error: Exception) -> str:
    """One line on what is wrong, the same on every machine (no absolute path)."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, PermissionError):
        return "the file may not be read by this user"
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of no kind that pillow can read"
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(str(path), path.name)
