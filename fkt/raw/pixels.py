"""Many raw images as one array: decoded in threads, and summed exactly."""

import hashlib
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fkt.core.hardware import requested_workers, usable_cores
from fkt.raw.source import Pixels, Raw, Unreadable, as_channels, fit_square, has_color
from fkt.raw.splits import Ints

STD_FLOOR = 1.0 / 255.0
"""The least deviation of a channel. Images are divided by it, so it must not be 0."""
CHUNK_BYTES = 2**27
"""Memory for one chunk of an array that need not fit into memory."""

_BATCH = 32
_MAX_WORKERS = 8


def decode_workers() -> int:
    """Return the number of decoding threads: FKT_WORKERS, or one per core up to 8. It does not change any result."""
    requested = requested_workers()
    return min(usable_cores(), _MAX_WORKERS) if requested is None else max(1, requested)


def decode_into(rows: Pixels, raw: Raw, positions: Ints, fit: str) -> tuple[list[bytes], dict[int, str]]:
    """Write the images at positions (N,) of a source into rows (N, S, S, C), made square as ``fit`` says.

    Returns the content digest of every row, and row -> reason for unreadable images, whose rows are not written.
    pillow and OpenCV release the interpreter lock, so threads help.
    """
    size, channels = rows.shape[1], rows.shape[3]

    def decode(batch: range) -> tuple[list[bytes], dict[int, str]]:
        digests, failures = [], {}
        for row in batch:
            try:
                rows[row] = fit_square(raw.load(int(positions[row]), channels), size, fit)
            except Unreadable as error:
                failures[row] = error.reason
            digests.append(hashlib.blake2b(rows[row].tobytes(), digest_size=16).digest())
        return digests, failures

    batches = [range(start, min(start + _BATCH, len(rows))) for start in range(0, len(rows), _BATCH)]
    digests: list[bytes] = []
    failures: dict[int, str] = {}
    seconds = 0.1 if sys.stderr.isatty() else 10  # in a log file, few lines
    pool = ThreadPoolExecutor(decode_workers())
    try:
        with tqdm(total=len(rows), desc="prepare", unit="image", mininterval=seconds, delay=seconds) as bar:
            for batch, (some, failed) in zip(batches, pool.map(decode, batches), strict=True):
                digests += some
                failures |= failed
                bar.update(len(batch))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return digests, failures


def surveyed(raw: Raw) -> tuple[Raw, Ints, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the same images without their borders, and three arrays that are filled when an image is loaded.

    These are its height and width without border (N, 2), whether it has color (N,), and whether it had a border (N,).
    """
    sizes = np.zeros((len(raw), 2), dtype=np.int64)
    color, bordered = np.zeros(len(raw), dtype=np.bool_), np.zeros(len(raw), dtype=np.bool_)

    def load(position: int, channels: int) -> Pixels:
        whole = raw.load(position, 3)
        image = whole if raw.crop is None else raw.crop(whole)
        sizes[position], color[position] = image.shape[:2], has_color(image)
        bordered[position] = image.shape != whole.shape
        return image if channels == 3 else as_channels(image, channels)

    return replace(raw, load=load, crop=None), sizes, color, bordered


def chunks(images: Pixels, count: int, bytes_each: int = 1) -> Iterator[slice]:
    """Yield 0 ... count - 1 in slices, each of as many images (N, ...) as CHUNK_BYTES allows, but at least one.

    bytes_each: memory needed per value of an image.
    """
    step = max(1, CHUNK_BYTES // (bytes_each * math.prod(images.shape[1:])))
    yield from (slice(start, min(start + step, count)) for start in range(0, count, step))


def mean_and_std(images: Pixels, index: Ints) -> tuple[list[float], list[float]]:
    """Return the mean and the population standard deviation in [0, 1] of each channel of the images at ``index``.

    images: (N, H, W, C) uint8, read in chunks. The sums are whole numbers, so that the order and the size of the chunks
    do not change a digit. The deviation is at least STD_FLOOR.
    """
    channels = images.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for rows in chunks(images, len(index), bytes_each=9):  # bincount needs 8 more bytes for each value of a channel
        values = images[index[rows]].reshape(-1, channels)
        counts += [np.bincount(values[:, channel], minlength=256) for channel in range(channels)]
    count = int(counts[0].sum())
    mean, std = [], []
    for numbers in counts.tolist():  # Python's whole numbers have no limit, so that the difference is exact
        total = sum(value * number for value, number in enumerate(numbers))
        squares = sum(value**2 * number for value, number in enumerate(numbers))
        mean.append(total / (255 * count))
        std.append(max(math.sqrt(count * squares - total**2) / (255 * count), STD_FLOOR))
    return mean, std
