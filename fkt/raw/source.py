"""Raw images: the list that every reader returns, the decoding of image files, and making them square."""

import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from fkt.core.errors import CorruptData
from fkt.data.meta import SplitName

Pixels = NDArray[np.uint8]

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Photographs of phones and cameras that pillow reads with the help of pillow-heif, which is not required."""
HEIC_REMEDY = "'pip install pillow-heif' makes .heic photographs readable"

MAX_PIXELS = 100_000_000
"""Pixels of the largest image that is decoded, where no prepare.max_pixels says another number."""
Image.MAX_IMAGE_PIXELS = None  # decode_file has this bound, and pillow's own one only warns up to twice its number

_MODES = {1: "L", 3: "RGB"}
_MAX_RATIO = 8


class Unreadable(CorruptData):
    """One image file cannot be decoded."""

    def __init__(self, path: Path, reason: str) -> None:
        """reason: one line without the path, so that it is the same on every machine."""
        super().__init__(f"{path}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Raw:
    """The N images of a source. An image is read only if ``load`` is called for it."""

    classes: list[str]
    """Class names. A label is a position in this list."""
    names: Sequence[str]
    """(N,) names of the images: the path relative to the source, or part and row (from 0) in the raw arrays."""
    labels: NDArray[np.int64]
    """(N,)."""
    parts: NDArray[np.str_]
    """(N,) the part of the source that an image belongs to: train, val or test."""
    origins: Mapping[str, str]
    """Where the images of each part come from: ``from the folder train``."""
    load: Callable[[int, int], Pixels]
    """(position, channels) -> (H, W, channels) uint8; raises Unreadable. Several threads call it."""
    below: Sequence[str] | None = None
    """(N,) paths of the images below their class folders, or below the source. None: the images are not files."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The columns of the table that lists the images, (N,) each; empty: there is no table."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Findings of the reader, for meta.json."""
    crop: Callable[[Pixels], Pixels] | None = None
    """What removes the border of a loaded RGB image (H, W, 3), if there is one; None: nothing is removed."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of the image files that are read, in lower case, and let pillow read HEIC if it can."""
    suffixes = ".jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .jp2".split()  # noqa: SIM905
    if features.check("avif"):
        suffixes.append(".avif")
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        suffixes += HEIC_SUFFIXES
    return frozenset(suffixes)


def from_arrays(classes: Sequence[str], arrays: Mapping[SplitName, tuple[Pixels, NDArray[Any]]]) -> Raw:
    """Build a Raw from one (images, labels) pair for each official part; images: (N, H, W) or (N, H, W, 3) uint8."""
    where = [(images, position) for images, _ in arrays.values() for position in range(len(images))]
    names = [f"{part if len(arrays) > 1 else 'row'} {row}" for part in arrays for row in range(len(arrays[part][0]))]

    def load(index: int, channels: int) -> Pixels:
        images, position = where[index]
        return as_channels(images[position], channels)

    return Raw(
        classes=[str(name) for name in classes],
        names=names,
        labels=np.concatenate([np.asarray(labels, dtype=np.int64) for _, labels in arrays.values()]),
        parts=np.repeat(list(arrays), [len(images) for images, _ in arrays.values()]),
        load=load,
        origins={part: f"from the official {part} split" for part in arrays},
    )


def decode_file(path: Path, channels: int, background: str = "white", max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode an image file to (H, W, channels) uint8, rotated as its EXIF tag says.

    channels: 3 = RGB, 1 = luma (ITU-R BT.601). background: color behind transparent pixels; white keeps black line art
    visible. Values of 16 bits are scaled from the whole 16-bit range and not clipped (gray as v / 257, rounded; for
    color images pillow returns the high byte). Floating-point images are in [0, 1], or in [0, 255] if a value is above
    1. Of several frames or pages, the first is used. Embedded color profiles are ignored.

    Raises Unreadable for a file that is missing, empty, truncated, not an image, of an unknown value range, no regular
    file (to read from a pipe would wait forever), or of more than ``max_pixels`` pixels, before they are decoded.
    """
    image_suffixes()  # so that pillow knows HEIC
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("not a regular file")
        with Image.open(path) as image:
            if image.width * image.height > max_pixels:
                size = f"{image.width:,} x {image.height:,} pixels"
                raise ValueError(f"{size} are more than prepare.max_pixels: {max_pixels:,}; shrink it, or raise that")
            image.load()  # read the whole file, so that a truncated file fails here
            ImageOps.exif_transpose(image, in_place=True)
            return as_channels(_eight_bit(image, background), channels)
    except Exception as error:  # pillow's decoders raise errors of many types for damaged files
        raise Unreadable(path, _reason(path, error)) from error


def as_channels(image: Image.Image | Pixels, channels: int) -> Pixels:
    """Convert an 8-bit image, or pixels (H, W) or (H, W, 3), to (H, W, channels) uint8; see decode_file."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    pixels = np.asarray(_as_mode(picture, _MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def _eight_bit(image: Image.Image, background: str) -> Image.Image:
    """Convert any mode of pillow to L or RGB. The conversion in pillow clips values of more than 8 bits."""
    if image.mode.startswith("I"):  # I;16 in all byte orders; I if an older pillow opened 16 bits as 32 bits
        return Image.fromarray(_scaled(np.asarray(image).astype(np.float64), 65535.0))
    if image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(_scaled(values, 1.0 if values.max() <= 1.0 else 255.0))
    if image.has_transparency_data:
        color = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", color.size, background), color).convert("RGB")
    return _as_mode(image, "L" if image.mode in ("1", "L") else "RGB")


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image. One that has the mode is not copied, which would take as long as its decoding."""
    return image if image.mode == mode else image.convert(mode)


def _scaled(values: NDArray[np.float64], top: float) -> Pixels:
    """Scale [0, top] to [0, 255]. Raise ValueError for values outside of that range."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= top):  # in this form, nan fails as well
        raise ValueError(f"unknown value range: {low:g} to {high:g}; convert the image to 8 bits")
    return np.floor(values * (255.0 / top) + 0.5).astype(np.uint8)


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        if path.suffix.lower() in HEIC_SUFFIXES - image_suffixes():
            return HEIC_REMEDY
        return "not an image, or a format that pillow cannot read"
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(str(path), path.name)


def fit_square(image: Pixels, size: int, fit: str) -> Pixels:
    """Make an image square as ``prepare.fit`` says: (H, W, C) to (size, size, C).

    crop: the shorter side is resized, then the center is cut out. pad: the longer side is resized, and the rest is
    black. stretch: both sides are resized. Shrinking averages over areas, enlarging is bilinear.
    """
    if image.shape[:2] == (size, size):
        return image
    if fit == "stretch":
        return _resized(image, size, size)
    if fit == "pad":
        square = np.zeros((size, size, image.shape[2]), dtype=np.uint8)
        box = padded_box(image.shape, size)
        square[box] = _resized(image, *(side.stop - side.start for side in box))
        return square
    shorter = min(image.shape[:2])
    image = _center(image, _MAX_RATIO * shorter)  # a very long image could exceed the memory when resized
    return _center(_resized(image, *_scaled_sides(image.shape, size / shorter)), size)


def padded_box(shape: Sequence[int], size: int) -> tuple[slice, slice]:
    """Return the rows and columns of a padded square that contain an image; shape: its height, width and others."""
    sides = _scaled_sides(shape, size / max(shape[:2]))
    top, left = ((size - side) // 2 for side in sides)
    return slice(top, top + sides[0]), slice(left, left + sides[1])


def _scaled_sides(shape: Sequence[int], scale: float) -> tuple[int, int]:
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    """Shrink the sides that become shorter, then enlarge the others."""
    import cv2

    smaller = min(height, image.shape[0]), min(width, image.shape[1])
    for (rows, columns), how in ((smaller, cv2.INTER_AREA), ((height, width), cv2.INTER_LINEAR)):
        if image.shape[:2] != (rows, columns):
            image = cv2.resize(image, (columns, rows), interpolation=how).reshape(rows, columns, -1).astype(np.uint8)
    return image


def _center(image: Pixels, limit: int) -> Pixels:
    """Cut out the center, at most ``limit`` pixels high and wide."""
    top, left = (max(0, (side - limit) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + limit, left : left + limit])


def shrunk(image: Pixels, longest: int) -> Pixels:
    """Resize an image (H, W, C) whose longer side is above ``longest`` to that length. Averages over areas."""
    scale = longest / max(image.shape[:2])
    return image if scale >= 1 else _resized(image, *_scaled_sides(image.shape, scale))


def has_color(image: Pixels) -> bool:
    """Return whether any pixel of an RGB image (H, W, 3) is not gray."""
    few = image[::16, ::16]  # most images with color have it here
    return bool((few != few[:, :, :1]).any() or (image != image[:, :, :1]).any())
