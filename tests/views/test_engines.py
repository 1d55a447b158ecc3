"""The two engines against each other: as distributions, and pixel by pixel with fixed arguments."""

import numpy as np
import pytest
import torch

from fkt.params.augment import BATCHED, GaussianBlur
from fkt.views.pipeline import build_pipeline
from tests.views.pictures import PIPELINES, meta, picture, repeated, step

SIZE, COUNT = 16, 1200


def views(engine, steps, image, count=1, key=0):
    """Views of one picture in [0, 255], (count, C, S, S)."""
    pipeline = build_pipeline(steps, engine, meta(image.shape[2], image.shape[1]))
    return (pipeline(repeated(image, count), "test", key) * 255).contiguous()


def levy(a, b, tolerance):
    """Largest distance of two empirical distribution functions, each of which may be shifted by the tolerance."""
    a, b = np.sort(a), np.sort(b)
    points = np.concatenate([a, b])

    def share(sample, limits):
        return np.searchsorted(sample, limits, side="right") / len(sample)

    one = share(a, points - tolerance) - share(b, points)
    other = share(b, points - tolerance) - share(a, points)
    return max(one.max(), other.max())


def summaries(images):
    """Numbers that describe a view, each (count,)."""
    flat = images.flatten(1)
    found = {
        "mean": flat.mean(1),
        "deviation": flat.std(1),
        "brightest": flat.amax(1),
        "darkest": flat.amin(1),
        "detail along x": images.diff(dim=3).abs().mean((1, 2, 3)),
        "detail along y": images.diff(dim=2).abs().mean((1, 2, 3)),
        "a pixel": flat[:, 37],
        "another pixel": flat[:, -90],
        "left and right": images[..., :8].mean((1, 2, 3)) - images[..., 8:].mean((1, 2, 3)),
        "top and bottom": images[..., :8, :].mean((1, 2, 3)) - images[..., 8:, :].mean((1, 2, 3)),
    }
    if images.shape[1] == 3:
        found["red and blue"] = (images[:, 0] - images[:, 2]).mean((1, 2))
        found["colorfulness"] = (images.amax(1) - images.amin(1)).mean((1, 2))
    return {name: values.numpy() for name, values in found.items()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PIPELINES)
def test_both_engines_draw_from_the_same_distribution(name, channels):
    image = picture(SIZE, channels)
    ours = views("batched", PIPELINES[name], image, COUNT)
    theirs = views("albumentations", PIPELINES[name], image, COUNT)
    error = ((ours.var(0) + theirs.var(0)) / COUNT).sqrt()
    # One gray level: albumentations rounds or truncates to whole numbers after every operation.
    assert ((ours.mean(0) - theirs.mean(0)).abs() <= 1.0 + 4.5 * error).all()
    expected = summaries(theirs)
    for what, values in summaries(ours).items():
        # 2.23 * sqrt(2 / n) is the two-sample Kolmogorov-Smirnov bound at a level of 1e-4.
        assert levy(values, expected[what], 1.0) < 2.23 * (2 / COUNT) ** 0.5, what


def test_the_comparison_of_distributions_finds_a_wrong_argument():
    image = picture(SIZE, 3)
    right = summaries(views("albumentations", PIPELINES["ColorJitter, brightness"], image, COUNT))
    weaker = [step("ColorJitter", brightness=0.65, contrast=0.0, saturation=0.0, hue=0.0)]
    wrong = summaries(views("batched", weaker, image, COUNT))
    assert levy(wrong["mean"], right["mean"], 1.0) > 2.23 * (2 / COUNT) ** 0.5


def test_every_transform_of_the_vocabulary_is_compared():
    assert {one.name for steps in PIPELINES.values() for one in steps} == set(BATCHED)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "exact",
    [
        step("HorizontalFlip"),
        step("VerticalFlip"),
        step("Solarize", threshold_range=[0.5, 0.5]),
        step("RandomResizedCrop", scale=[1.0, 1.0], ratio=[1.0, 1.0]),
        step("Affine", rotate=[0.0, 0.0], scale=[1.0, 1.0], translate_percent=[0.25, 0.25], shear=[0.0, 0.0]),
        step("Affine", rotate=[90.0, 90.0], scale=[1.0, 1.0], translate_percent=[0.0, 0.0], shear=[0.0, 0.0]),
        step("Affine", rotate=[0.0, 0.0], scale=[1.0, 1.0], translate_percent=[-0.1, -0.1], shear=[0.0, 0.0]),
    ],
    ids=str,
)
def test_without_random_numbers_and_interpolation_the_engines_agree_exactly(exact, channels):
    image = picture(SIZE, channels)
    torch.testing.assert_close(
        views("batched", [exact], image), views("albumentations", [exact], image), rtol=0, atol=2e-3
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("fixed", "tolerance"),
    [
        # OpenCV rounds coordinates to 1/32 pixel: up to 1/32 of the largest difference of neighbors on each axis.
        (step("Affine", rotate=[30.0, 30.0], scale=[1.0, 1.0], translate_percent=[0.0, 0.0], shear=[0.0, 0.0]), 8.0),
        (step("Affine", rotate=[0.0, 0.0], scale=[0.7, 0.7], translate_percent=[0.0, 0.0], shear=[0.0, 0.0]), 8.0),
        (step("Affine", rotate=[0.0, 0.0], scale=[1.0, 1.0], translate_percent=[0.0, 0.0], shear=[20.0, 20.0]), 8.0),
        (step("Affine", rotate=[10.0, 10.0], scale=[1.2, 1.2], translate_percent=[0.1, 0.1], shear=[9.0, 9.0]), 8.0),
        (step("RandomResizedCrop", scale=[1.0, 1.0], ratio=[2.0, 2.0]), 1.0),
        (step("RandomResizedCrop", scale=[1.0, 1.0], ratio=[0.4, 0.4]), 1.0),
        (step("GaussianBlur", sigma_limit=[1.3, 1.3]), 1.0),
        (step("GaussianBlur", sigma_limit=[0.2, 0.2]), 1.0),
        (step("GaussianBlur", sigma_limit=[6.0, 6.0]), 1.0),  # reaches beyond the image on both sides
        (step("ToGray"), 1.0),
    ],
    ids=str,
)
def test_with_fixed_arguments_the_engines_agree_within_rounding(fixed, tolerance, channels):
    image = picture(SIZE, channels, seed=3)
    difference = views("batched", [fixed], image) - views("albumentations", [fixed], image)
    assert difference.abs().max() <= tolerance
    assert difference.abs().mean() < 1.0


def test_quarter_turns_are_the_four_turns():
    image = picture(SIZE, 3)
    turned = [torch.rot90(image[0], quarter, (1, 2)).float() for quarter in range(4)]
    for engine in ("batched", "albumentations"):
        seen = views(engine, [step("RandomRotate90")], image, 64)
        which = [[bool((view == turn).all()) for turn in turned] for view in seen]
        assert all(sum(row) == 1 for row in which)
        assert {row.index(True) for row in which} == {0, 1, 2, 3}


@pytest.mark.parametrize("sigma", [0.5, 1.7])
def test_the_blur_of_a_point_is_a_gaussian(sigma):
    image = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    image[..., 16, 16] = 255
    offset = torch.arange(-16, 17)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= int(3.5 * sigma))
    kernel /= kernel.sum()
    blur = step("GaussianBlur", sigma_limit=[sigma, sigma])
    assert isinstance(blur, GaussianBlur)
    torch.testing.assert_close(views("batched", [blur], image)[0, 0], 255 * torch.outer(kernel, kernel))
