"""Spectral-residual saliency against its definition, and what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from fkt.raw.saliency import SIDE, saliency_maps, spectral_residual
from tests import references_saliency as references


def noise(count: int, size: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def gray(image: np.ndarray) -> np.ndarray:
    return image[..., 0].astype(np.float64)


def test_it_is_the_papers_transform_frequency_by_frequency() -> None:
    images = gray(noise(2, 10))
    images[1, 3:6, 2:5] = 250.0
    found = spectral_residual(images)
    assert (found >= 0).all()
    for image, mine in zip(images, found, strict=True):
        expected = references.spectral_residual(image.tolist(), 2.5 / 64 * 10, 10 / math.sqrt(12))
        np.testing.assert_allclose(mine, expected, rtol=1e-9)


def test_a_point_is_as_salient_as_can_be_and_nothing_else_is() -> None:
    """All its frequencies are equally strong, so that the residual is 0 and the phase alone goes back."""
    image = np.zeros((1, 12, 12))
    image[0, 7, 3] = 255.0
    expected = np.zeros((12, 12))
    expected[7, 3] = 1.0
    np.testing.assert_allclose(
        spectral_residual(image)[0], references.smoothed(expected.tolist(), 2.5 / 64 * 12), atol=1e-12
    )


def test_contrast_makes_no_difference() -> None:
    images = gray(noise(3, 16))
    np.testing.assert_allclose(spectral_residual(images), spectral_residual(4 * images), rtol=1e-9)


@pytest.mark.parametrize("size", [8, 33, SIDE, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_fill_the_range_of_bytes_and_are_those_of_each_image_alone(size: int, channels: int) -> None:
    images = noise(3, size, channels)
    maps = saliency_maps(images)
    assert maps.shape == (3, size, size) and maps.dtype == np.uint8
    assert (maps.min(axis=(1, 2)) == 0).all() and (maps.max(axis=(1, 2)) >= (255 if size <= SIDE else 230)).all()
    for image, one in zip(images, maps, strict=True):
        np.testing.assert_array_equal(saliency_maps(image[None])[0], one)


def test_an_image_of_one_brightness_has_an_empty_map() -> None:
    images = np.stack([np.full((16, 16, 1), value, dtype=np.uint8) for value in (0, 90, 255)])
    assert not saliency_maps(images).any()
    large = np.full((1, 100, 100, 3), 77, dtype=np.uint8)
    assert not saliency_maps(large).any()


@pytest.mark.parametrize("size", [24, 64, 160])
def test_an_object_before_a_texture_is_salient_wherever_it_is(size: int) -> None:
    """Stripes repeat, and their few frequencies stand out of the spectrum; a disc does not."""
    y, x = np.mgrid[0:size, 0:size] / size
    for cy, cx in ((0.3, 0.3), (0.5, 0.5), (0.65, 0.4)):
        disc = np.hypot(y - cy, x - cx) < 0.12
        stripes = 120 + 60 * np.sin(2 * np.pi * 6 * x)
        image = np.where(disc, 230, stripes).astype(np.uint8)[None, :, :, None]
        around = np.hypot(y - cy, x - cx) < 0.2
        mass = saliency_maps(image)[0].astype(np.float64)
        assert mass[around].sum() / mass.sum() > 2.5 * around.mean()


def test_color_is_judged_by_its_luma() -> None:
    color = noise(2, 20, 3)
    luma = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in color])[..., None]
    np.testing.assert_array_equal(saliency_maps(color), saliency_maps(luma))
