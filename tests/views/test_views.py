"""Properties of every pipeline, and the arithmetic of the batched engine against torchvision's."""

import pickle

import numpy as np
import pytest
import torch

from fkt.core.errors import ParamsError
from fkt.data.normalize import normalize
from fkt.params import Foreign
from fkt.views.batched_engine import BatchedPipeline
from fkt.views.draws import happens, uniform, whole
from fkt.views.geometry import PixelMoves, Sampling
from fkt.views.photometric import shift_hue
from fkt.views.pipeline import build_pipeline
from tests.views.pictures import AFFINE, PIPELINES, SIMCLR, meta, picture, repeated, step

ENGINES = ("batched", "albumentations")


def batch(count, size, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PIPELINES)
def test_views_are_normalized_channels_last_floats_and_the_input_does_not_change(name, channels, engine):
    images = batch(6, 12, channels)
    kept = images.clone()
    seen = build_pipeline(PIPELINES[name], engine, meta(12, channels, 0.4, 0.2))(images, 1)
    assert seen.shape == images.shape
    assert seen.dtype == torch.float32
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert (seen >= (0 - 0.4) / 0.2 - 1e-4).all()
    assert (seen <= (1 - 0.4) / 0.2 + 1e-4).all()
    assert torch.equal(images, kept)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_pipeline_only_normalizes(engine):
    images, about = batch(5, 10, 3), meta(10, 3, 0.45, 0.21)
    expected = (images.double() / 255 - 0.45) / 0.21
    seen = build_pipeline([], engine, about)(images, 1)
    torch.testing.assert_close(seen.double(), expected, rtol=0, atol=1e-5)
    assert torch.equal(seen, normalize(images, about.mean, about.std))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PIPELINES)
def test_views_depend_on_the_key_and_the_position_alone(name, engine):
    images = repeated(picture(12, 3), 24)
    pipeline = build_pipeline(PIPELINES[name], engine, meta(12, 3))
    first, other = pipeline(images, 0, "view", 1, 7), pipeline(images, 0, "view", 1, 8)
    torch.rand(3)  # the global generators have no influence
    np.random.default_rng().random()
    assert torch.equal(first, pipeline(images, 0, "view", 1, 7))
    in_another_process = pickle.loads(pickle.dumps(pipeline))
    assert torch.equal(first, in_another_process(images, 0, "view", 1, 7))
    if name != "RandomResizedCrop, that does not fit":  # the only pipeline that is not random
        assert not torch.equal(first, other)
        assert len(first.unique(dim=0)) > 1


def test_two_transforms_of_albumentations_are_independent():
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[0, 0, 0, 1] = 255  # its place shows which flips happened
    steps = [step("HorizontalFlip", 0.5), step("VerticalFlip", 0.5)]
    seen = build_pipeline(steps, "albumentations", meta(8, 1))(repeated(image, 800), 3)
    places = seen.flatten(1).argmax(1)
    shares = [float((places == place).float().mean()) for place in (1, 6, 57, 62)]
    assert shares == pytest.approx([0.25] * 4, abs=0.07)


def test_views_do_not_depend_on_chunks_or_on_autocast(monkeypatch):
    images, pipeline = batch(11, 12, 3), BatchedPipeline([*SIMCLR, AFFINE, *PIPELINES["Solarize"]], meta(12, 3))
    expected = pipeline(images, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pipeline(images, 2), expected)
    monkeypatch.setattr("fkt.views.batched_engine.CHUNK_VALUES", 3 * 3 * 12 * 12)
    torch.testing.assert_close(pipeline(images, 2), expected, rtol=0, atol=1e-5)


def test_flips_and_turns_can_be_combined_with_a_crop():
    """One sampling gives the same as the moves before the crop, the crop, and the moves after it."""
    image = picture(16, 3).float()
    before, after = [step("RandomRotate90"), step("HorizontalFlip")], [step("VerticalFlip"), step("RandomRotate90")]
    for interpolating in (PIPELINES["RandomResizedCrop"][0], AFFINE.model_copy(update={"p": 1.0})):
        together = Sampling([*before, interpolating, *after], 16)
        apart = [PixelMoves(before), Sampling([interpolating], 16), PixelMoves(after)]
        count = 12
        drawn = together.draw(count, torch.Generator().manual_seed(4))
        generator = torch.Generator().manual_seed(4)  # the same draws in the same order
        images = image.repeat(count, 1, 1, 1)
        expected = images
        for one in apart:
            numbers = one.draw(count, generator)
            expected = one.apply(expected, numbers, numbers)
        torch.testing.assert_close(together.apply(images, drawn, drawn), expected, rtol=0, atol=5e-3)


def test_a_crop_reads_no_pixels_outside_of_its_box():
    """Every value of a view of a staircase is between the values at the ends of the box."""
    stairs = (torch.arange(16) * 16).to(torch.uint8).expand(1, 1, 16, 16)
    sampling = Sampling([step("RandomResizedCrop", scale=[0.1, 0.4], ratio=[0.75, 1.333])], 16)
    drawn = sampling.draw(50, torch.Generator().manual_seed(0))
    seen = sampling.apply(repeated(stairs, 50), drawn, drawn)
    left, _, right, _ = sampling.boxes(drawn).unbind(1)
    torch.testing.assert_close(seen.amin((1, 2, 3)), left * 16, rtol=0, atol=5e-3)
    torch.testing.assert_close(seen.amax((1, 2, 3)), (right - 1) * 16, rtol=0, atol=5e-3)


def test_an_affine_map_is_black_outside_of_the_image():
    shrink = step("Affine", rotate=[0.0, 0.0], scale=[0.5, 0.5], translate_percent=[0.0, 0.0], shear=[0.0, 0.0])
    white = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    seen = BatchedPipeline([shrink], meta(16, 3))(white)[0, 0]
    assert seen[4:12, 4:12].min() > 0.999
    assert seen[:3].max() == seen[-3:].max() == seen[:, :3].max() == 0


@pytest.mark.parametrize("turn", [-0.5, -0.3, -0.01, 0.0, 0.1, 0.25, 0.5])
def test_the_hue_shift_is_that_of_torchvision(turn):
    from torchvision.transforms.functional import adjust_hue

    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(2, 3, 40, 40, generator=generator)
    colors[0, :, 0] = torch.rand(40, generator=generator)  # grays have no hue
    colors[0, :, 1] = torch.eye(3).repeat(1, 14)[:, :40]  # primaries, and their complements
    colors[0, :, 2] = 1 - torch.eye(3).repeat(1, 14)[:, :40]
    expected = adjust_hue(colors, turn)
    ours = shift_hue(colors * 255, torch.full((2, 1, 1), 6 * turn)) / 255
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_brightness_contrast_and_saturation_are_those_of_torchvision(kind):
    from torchvision.transforms import functional

    factors = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, kind: 0.9}
    pipeline = BatchedPipeline([step("ColorJitter", **factors)], meta(12, 3))
    image = picture(12, 3)
    seen = pipeline(repeated(image, 40), 0)
    adjust = getattr(functional, f"adjust_{kind}")
    grid = torch.linspace(0.1, 1.9, 1801)
    expected = torch.cat([adjust(image.float() / 255, float(factor)) for factor in grid])  # every possible factor
    nearest = (seen[:, None] - expected).abs().amax((2, 3, 4)).min(1)
    assert nearest.values.max() < 2e-3
    found = grid[nearest.indices]
    assert found.min() < 0.3
    assert found.max() > 1.7


def test_color_values_are_clipped_after_every_operation():
    """Twice the brightness and then half the contrast: white becomes gray, from the mean of the clipped picture."""
    neutral = step("ColorJitter", brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    pipeline = BatchedPipeline([neutral, neutral], meta(4, 1))
    numbers = torch.tensor([[2.0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 4, 0.5, 0, 0.5, 1, 0, 0, 1, 0, 0, 0, 4]])
    image = torch.full((1, 1, 4, 4), 50, dtype=torch.uint8)
    image[..., :2] = 200
    seen = pipeline.passes[0].apply(image, numbers, numbers)
    mean = (255 + 100) / 2
    assert seen[0, 0, 0].tolist() == pytest.approx([(255 + mean) / 2] * 2 + [(100 + mean) / 2] * 2)


def test_draws_have_their_documented_ranges():
    generator = torch.Generator().manual_seed(0)
    assert whole(generator, torch.full((3000,), 3.0)).unique().tolist() == [0, 1, 2]
    values = uniform(generator, 3000, (-2, 4), 2)
    assert values.shape == (3000, 2)
    assert -2 <= values.min() < -1.98
    assert 3.98 < values.max() <= 4
    assert not happens(generator, 500, 0.0).any()
    assert happens(generator, 500, 1.0).all()
    assert float(happens(generator, 3000, 0.3).float().mean()) == pytest.approx(0.3, abs=0.03)


def test_other_transforms_of_albumentations_are_used_by_name():
    images = batch(3, 12, 3)
    seen = build_pipeline([Foreign(name="Posterize", p=1.0, num_bits=1)], "albumentations", meta(12, 3))(images, 0)
    assert set((seen * 255).round().unique().tolist()) <= {0.0, 128.0}
    assert torch.equal((seen * 255).round() == 128, images >= 128)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (Foreign(name="CenterCrop", p=0.5, height=8, width=8), r"images of uint8 \(12, 12, 3\) into uint8 \(8, 8, 3\)"),
        (Foreign(name="ToFloat", p=0.1), r"ToFloat turns .* into float32"),
        (Foreign(name="RandomCrop", p=0.1, height=64, width=64), r"RandomCrop fails on images of 12 x 12 pixels"),
    ],
    ids=lambda value: value.name if isinstance(value, Foreign) else "",
)
def test_a_transform_that_does_not_fit_the_images_is_refused(foreign, message):
    with pytest.raises(ParamsError, match=message):
        build_pipeline([foreign], "albumentations", meta(12, 3))


@pytest.mark.gpu
@pytest.mark.parametrize("name", PIPELINES)
def test_the_gpu_makes_the_same_views_as_the_cpu(name):
    images, pipeline = batch(32, 16, 3), BatchedPipeline(PIPELINES[name], meta(16, 3))
    there = pipeline(images.cuda(), 1)
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), pipeline(images, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("RandomResizedCrop", {"scale": [0.0, 1.0], "ratio": [0.75, 1.3]}, "greater than 0"),
        ("GaussianBlur", {"sigma_limit": [0.0, 1.0]}, "greater than 0"),
        ("Solarize", {"threshold_range": [0.5, 128.0]}, "less than or equal to 1"),
    ],
)
def test_arguments_outside_of_their_range_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        step(name, **arguments)
