"""Many raw images as one array: decoded by several threads, and added up exactly."""

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from fkt.core.hardware import requested_workers, usable_cores
from fkt.raw.decode import Unreadable
from fkt.raw.resize import SquareFit
from fkt.raw.source import Pixels, Raw
from fkt.raw.splits import Ints

T = TypeVar("T")

STD_FLOOR = 1.0 / 255.0
"""Deviation given to a channel that varies less than one gray level: it is divided by later and must not be 0."""
CHUNK_BYTES = 2**27
"""Memory for what is handled at a time where the whole array need not fit."""

_BATCH = 32
_MOST_WORKERS = 8
_PLAIN_SECONDS = 10.0


def decode_workers() -> int:
    """Return the number of decoding threads: FKT_WORKERS, or one per processor up to 8; it changes no result."""
    asked = requested_workers()
    return min(usable_cores(), _MOST_WORKERS) if asked is None else max(1, asked)


def decode_into(rows: Pixels, raw: Raw, positions: Ints) -> tuple[list[bytes], dict[int, str]]:
    """Fill rows (N, S, S, C) with the images at positions (N,) of a source, resized and cropped to S.

    Returns the content digest of every row, and row -> reason for those that could not be read (left as they are).
    Threads do it: pillow and OpenCV let go of the interpreter while they work.
    """
    fit, channels = SquareFit(rows.shape[1]), rows.shape[3]

    def decode(batch: range) -> tuple[list[bytes], dict[int, str]]:
        digests, failures = [], {}
        for row in batch:
            try:
                rows[row] = fit(raw.load(int(positions[row]), channels))
            except Unreadable as error:
                failures[row] = error.reason
            digests.append(hashlib.blake2b(rows[row].tobytes(), digest_size=16).digest())
        return digests, failures

    batches = [range(start, min(start + _BATCH, len(rows))) for start in range(0, len(rows), _BATCH)]
    digests: list[bytes] = []
    failures: dict[int, str] = {}
    pool = ThreadPoolExecutor(decode_workers())
    try:
        for some, failed in _with_progress(pool.map(decode, batches), len(rows)):
            digests += some
            failures |= failed
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return digests, failures


def _with_progress(items: Iterator[T], num_images: int) -> Iterator[T]:
    """Pass items (batches of images) on, with a bar on a terminal and a plain line every 10 s elsewhere."""
    bar = tqdm(total=num_images, desc="prepare", unit="image", disable=not sys.stderr.isatty())
    done, last = 0, time.monotonic()
    with bar:
        for item in items:
            yield item
            bar.update(min(_BATCH, num_images - done))
            done = min(done + _BATCH, num_images)
            if bar.disable and time.monotonic() - last > _PLAIN_SECONDS:
                last = time.monotonic()
                print(f"prepare: {done} of {num_images} images", file=sys.stderr, flush=True)


def chunks(images: Pixels, count: int, bytes_each: int = 1) -> Iterator[slice]:
    """Yield 0 ... count - 1 in slices, each of as many images of (N, ...) as CHUNK_BYTES allows, but at least one.

    bytes_each: the memory that is needed for each value of an image.
    """
    step = max(1, CHUNK_BYTES // (bytes_each * math.prod(images.shape[1:])))
    yield from (slice(start, min(start + step, count)) for start in range(0, count, step))


def mean_and_std(images: Pixels, index: Ints) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation (of the population) in [0, 1] of each channel of the images at ``index``.

    images: (N, H, W, C) uint8, read in chunks. The sums are whole numbers, so that neither the order nor the size
    of the chunks changes a digit. The deviation is at least STD_FLOOR.
    """
    channels = images.shape[3]
    total, squares = np.zeros(channels, dtype=np.int64), np.zeros(channels, dtype=np.int64)
    for rows in chunks(images, len(index), bytes_each=9):  # an integer beside each value of a channel
        values = images[index[rows]].reshape(-1, channels)
        for channel in range(channels):
            counts = np.bincount(values[:, channel], minlength=256)
            total[channel] += counts @ np.arange(256)
            squares[channel] += counts @ np.arange(256) ** 2
    count = len(index) * images.shape[1] * images.shape[2]
    mean = [int(value) / (255 * count) for value in total]
    # Python's whole numbers have no limit; the difference loses no digit before the root.
    spread = [count * int(square) - int(value) ** 2 for square, value in zip(squares, total, strict=True)]
    return mean, [max(math.sqrt(value) / (255 * count), STD_FLOOR) for value in spread]
