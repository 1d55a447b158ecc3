"""Masks of the training images, for augment.object_share: computed from the image as saliency, or read from files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fkt.core.errors import DatasetNotFound
from fkt.raw.notes import files_error
from fkt.raw.pixels import chunks, decode_into
from fkt.raw.source import Pixels, Raw, Unreadable, as_channels, decode_file, padded_box
from fkt.raw.splits import Ints

SIDE = 64
"""Saliency of larger images is computed at this size, as by its authors. Smaller images are not enlarged: they have no
detail at the high frequencies (for digits of 16 pixels, 54 % instead of 65 % of the saliency would be on the strokes,
which cover 37 %)."""
_SIGMA = 2.5 / 64
"""Deviation of the Gaussian that smooths a saliency map, in image sides, as in the authors' code."""
_REMEDY = "or set prepare.masks: saliency, or none"


def fill_masks(
    masks: Pixels, images: Pixels, train: Ints, sizes: Ints, fit: str, files: tuple[Raw, Ints, Path] | None
) -> dict[str, Any]:
    """Write the masks (M, S, S) of the prepared images (N, S, S, C) at rows train (M,), and return the note on them.

    sizes: (M, 2) heights and widths of the raw images; fit: how they became squares. files: the raw images, the
    positions (M,) of the training images in them, and their folder; None: saliency.
    """
    if files is not None:
        _fill_from_files(masks, *files, fit)
    else:
        for rows in chunks(images, len(train), bytes_each=100):  # the spectra are complex numbers
            squares = images[train[rows]]
            masks[rows] = _padded_saliency(squares, sizes[rows]) if fit == "pad" else saliency_maps(squares)
    filled = sum(int(masks[rows].any(axis=(1, 2)).sum()) for rows in chunks(masks, len(masks)))
    kind = "saliency" if files is None else "files"
    return {"masks": {"kind": kind, "images": len(masks), "empty": len(masks) - filled}}


def _fill_from_files(masks: Pixels, raw: Raw, positions: Ints, source: Path, fit: str) -> None:
    """Write masks from image files with the same relative paths as the images, or with the suffix .png instead.

    Their folder is named as the source with -masks: a folder inside the source could be taken for a class. A mask has
    the size of its image: 0 = no object, brighter = more object. The brightest value of a file becomes 255. Transparent
    pixels are no object. A mask becomes square like its image. Raises DatasetNotFound if the folder does not
    exist, CorruptData with the names of masks that are missing or do not fit.
    """
    folder = masks_folder(source)
    if not folder.is_dir():
        raise DatasetNotFound(
            f"prepare.masks: files needs the folder {folder}, which does not exist; put one mask per training image "
            f"there, with the same relative path, {_REMEDY}"
        )
    names = set(raw.names)

    def load(position: int, channels: int) -> Pixels:
        name = raw.names[position]
        png = Path(name).with_suffix(".png").as_posix()
        # The name of another image is never used for the mask of this one.
        path = folder / (name if (folder / name).is_file() or png in names else png)
        mask = decode_file(path, channels, background="black")
        found, expected = mask.shape[:2], raw.load(position, channels).shape[:2]
        if found != expected:
            sizes = [f"{width} x {height}" for height, width in (found, expected)]
            raise Unreadable(path, f"the mask has {sizes[0]} pixels, its image has {sizes[1]}")
        scaled: Pixels = np.floor(mask * (255 / max(1, int(mask.max()))) + 0.5).astype(np.uint8)
        return scaled

    _, failures = decode_into(masks[..., None], replace(raw, load=load), positions, fit)
    if failures:
        reasons = {raw.names[positions[row]]: reason for row, reason in failures.items()}
        remedy = f"add or repair them (the same relative path as the image, or with .png), {_REMEDY}"
        raise files_error(f"masks in {folder} that cannot be used", reasons, len(positions), remedy)


def masks_folder(source: Path) -> Path:
    """Return the folder of the masks of the images in ``source``."""
    named = source.resolve() if source.name in ("", "..") else source  # "." has no name
    return Path(f"{named}-masks")


def _padded_saliency(images: Pixels, sizes: Ints) -> Pixels:
    """Return the saliency of padded images. Nothing in the padding is salient, and neither is its edge."""
    size = images.shape[1]
    boxes = [padded_box(shape, size) for shape in sizes.tolist()]
    extended = []
    for image, (rows, columns) in zip(images, boxes, strict=True):
        around = (rows.start, size - rows.stop), (columns.start, size - columns.stop), (0, 0)
        extended.append(np.pad(image[rows, columns], around, mode="edge"))
    maps = saliency_maps(np.stack(extended))
    masks = np.zeros_like(maps)
    for mask, found, box in zip(masks, maps, boxes, strict=True):
        mask[box] = found[box]
    return masks


def saliency_maps(images: Pixels) -> Pixels:
    """Return the spectral-residual saliency of each image: (N, S, S, C) uint8 -> (N, S, S) uint8, scaled to 0 ... 255.

    Hou & Zhang, CVPR 2007: the residual is the log amplitude of the luma's spectrum minus its average over 3 x 3
    frequencies. With the phase of the image it is transformed back, squared and smoothed. The map of an image of one
    brightness is empty.
    """
    size = images.shape[1]
    gray = [as_channels(image if image.shape[2] == 3 else image[:, :, 0], 1)[:, :, 0] for image in images]
    side = min(size, SIDE)
    maps = spectral_residual(np.stack([_resized(one, side, Image.Resampling.BOX) for one in gray]).astype(np.float64))
    maps -= maps.min(axis=(1, 2), keepdims=True)
    top = maps.max(axis=(1, 2), keepdims=True)
    varied = np.array([one.min() < one.max() for one in gray])[:, None, None]
    maps = np.divide(255 * maps, top, out=np.zeros_like(maps), where=varied & (top > 0))
    return np.stack([(_resized(one, size, Image.Resampling.BILINEAR) + 0.5).astype(np.uint8) for one in maps])


def spectral_residual(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smoothed saliency of images (N, S, S) in gray levels (0 to 255): (N, S, S), at least 0, any scale.

    Amplitudes below the error of rounding to whole gray levels are raised to that error, because their logarithm is
    noise. As in the authors' code, the average repeats the border of the spectrum, and there is no saliency outside of
    the image.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    size = images.shape[1]
    spectrum = np.fft.fft2(images)
    rounding = size / np.sqrt(12)  # of the sum of size * size rounding errors with variance 1/12
    average = uniform_filter(np.log(np.maximum(np.abs(spectrum), rounding)), size=(1, 3, 3), mode="nearest")
    back = np.abs(np.fft.ifft2(spectrum * np.exp(-average))) ** 2
    smoothed: NDArray[np.float64] = gaussian_filter(back, sigma=(0, _SIGMA * size, _SIGMA * size), mode="constant")
    return smoothed


def _resized(image: NDArray[Any], size: int, how: Image.Resampling) -> NDArray[np.float32]:
    numbers = image.astype(np.float32)
    return numbers if len(image) == size else np.asarray(Image.fromarray(numbers).resize((size, size), how))
