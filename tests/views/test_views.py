"""What holds of every pipeline, and the batched engine's arithmetic against torchvision's."""

import pickle

import numpy as np
import pytest
import torch

from fkt.core.errors import ParamsError
from fkt.data.normalize import normalize
from fkt.params import Foreign
from fkt.views.batched_engine import BatchedPipeline
from fkt.views.color import shift_hue
from fkt.views.draws import happens, uniform, whole
from fkt.views.geometry import PixelMoves, Sampling
from fkt.views.pipeline import build_pipeline
from fkt.views.pixel import hashed_normal
from tests.raw.pictures import AFFINE, PIPELINES, SIMCLR, meta, picture, repeated, step

ENGINES = ("batched", "albumentations")


def batch(count, size, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PIPELINES)
def test_views_are_normalized_channels_last_floats_and_the_input_stays_as_it_was(name, channels, engine):
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
def test_no_steps_are_plain_normalization(engine):
    images, about = batch(5, 10, 3), meta(10, 3, 0.45, 0.21)
    expected = (images.double() / 255 - 0.45) / 0.21
    seen = build_pipeline([], engine, about)(images, 1)
    torch.testing.assert_close(seen.double(), expected, rtol=0, atol=1e-5)
    assert torch.equal(seen, normalize(images, about.mean, about.std))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PIPELINES)
def test_a_key_fixes_the_views_and_another_key_or_place_in_the_batch_changes_them(name, engine):
    images = repeated(picture(12, 3), 24)
    pipeline = build_pipeline(PIPELINES[name], engine, meta(12, 3))
    first, other = pipeline(images, 0, "view", 1, 7), pipeline(images, 0, "view", 1, 8)
    torch.rand(3)  # nothing depends on the global generators
    np.random.default_rng().random()
    assert torch.equal(first, pipeline(images, 0, "view", 1, 7))
    assert torch.equal(first, build_pipeline(PIPELINES[name], engine, meta(12, 3))(images, 0, "view", 1, 7))
    if name != "RandomResizedCrop, that does not fit":  # where nothing is left to chance
        assert not torch.equal(first, other)
        assert len(first.unique(dim=0)) > 1


@pytest.mark.parametrize("name", ["SimCLR", "GaussNoise"])
def test_a_pipeline_that_travelled_to_another_process_gives_the_same_views(name):
    images = batch(4, 12, 3)
    for engine in ENGINES:
        pipeline = build_pipeline(PIPELINES[name], engine, meta(12, 3))
        assert torch.equal(pickle.loads(pickle.dumps(pipeline))(images, 5), pipeline(images, 5))


def test_in_albumentations_one_transform_happens_independently_of_another():
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[0, 0, 0, 1] = 255  # tells which flips happened
    steps = [step("HorizontalFlip", 0.5), step("VerticalFlip", 0.5)]
    seen = build_pipeline(steps, "albumentations", meta(8, 1))(repeated(image, 800), 3)
    places = seen.flatten(1).argmax(1)
    shares = [float((places == place).float().mean()) for place in (1, 6, 57, 62)]
    assert shares == pytest.approx([0.25] * 4, abs=0.07)


def test_the_result_does_not_depend_on_how_a_batch_is_cut_into_chunks(monkeypatch):
    images, about = batch(11, 12, 3), meta(12, 3, 0.4, 0.3)
    whole_batch = BatchedPipeline([*SIMCLR, AFFINE, *PIPELINES["GaussNoise"]], about)(images, 2)
    monkeypatch.setattr("fkt.views.batched_engine.CHUNK_VALUES", 3 * 3 * 12 * 12)
    pieces = BatchedPipeline([*SIMCLR, AFFINE, *PIPELINES["GaussNoise"]], about)(images, 2)
    torch.testing.assert_close(pieces, whole_batch, rtol=0, atol=1e-5)


def test_autocast_around_a_pipeline_does_not_change_the_views():
    images, pipeline = batch(4, 12, 3), BatchedPipeline(SIMCLR, meta(12, 3))
    with torch.autocast("cpu", torch.bfloat16):
        inside = pipeline(images, 1)
    assert torch.equal(inside, pipeline(images, 1))


def test_flips_and_turns_join_a_crop_without_changing_what_it_gives():
    """One sampling grid for all equals the moves applied to the result of the crop, and to its input."""
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


def test_a_crop_reads_nothing_outside_its_box():
    """Every value of a view of a staircase lies between the values at the ends of the box."""
    stairs = (torch.arange(16) * 16).to(torch.uint8).expand(1, 1, 16, 16)
    sampling = Sampling([step("RandomResizedCrop", scale=[0.1, 0.4], ratio=[0.75, 1.333])], 16)
    drawn = sampling.draw(50, torch.Generator().manual_seed(0))
    seen = sampling.apply(repeated(stairs, 50), drawn, drawn)
    first, last = drawn[:, 6] + 7.5, drawn[:, 8] + 7.5
    torch.testing.assert_close(seen.amin((1, 2, 3)), first * 16, rtol=0, atol=5e-3)
    torch.testing.assert_close(seen.amax((1, 2, 3)), last * 16, rtol=0, atol=5e-3)


def test_an_affine_map_brings_in_black():
    shrink = step("Affine", rotate=[0.0, 0.0], scale=[0.5, 0.5], translate_percent=[0.0, 0.0], shear=[0.0, 0.0])
    white = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    seen = BatchedPipeline([shrink], meta(16, 3))(white)[0, 0]
    assert seen[4:12, 4:12].min() > 0.999
    assert seen[:3].max() == seen[-3:].max() == seen[:, :3].max() == 0


@pytest.mark.parametrize("turn", [-0.5, -0.3, -0.01, 0.0, 0.1, 0.25, 0.5])
def test_hue_is_turned_as_torchvision_does(turn):
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
    expected = torch.cat([adjust(image.float() / 255, float(factor)) for factor in grid])  # every factor there is
    nearest = (seen[:, None] - expected).abs().amax((2, 3, 4)).min(1)
    assert nearest.values.max() < 2e-3
    found = grid[nearest.indices]
    assert found.min() < 0.3
    assert found.max() > 1.7


def test_color_values_saturate_after_every_operation():
    """Twice as bright and then half as contrasted, white is gray of the saturated picture's mean."""
    bright = step("ColorJitter", brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    pipeline = BatchedPipeline([bright, bright], meta(4, 1))
    numbers = torch.tensor([[2.0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 4, 0.5, 0, 0.5, 1, 0, 0, 1, 0, 0, 0, 4]])
    image = torch.full((1, 1, 4, 4), 50, dtype=torch.uint8)
    image[..., :2] = 200
    seen = pipeline.passes[0].apply(image, numbers, numbers)
    mean = (255 + 100) / 2
    assert seen[0, 0, 0].tolist() == pytest.approx([(255 + mean) / 2] * 2 + [(100 + mean) / 2] * 2)


def test_the_numbers_behind_noise_are_standard_normal_and_independent():
    seeds = torch.randint(2**24, (64, 2), generator=torch.Generator().manual_seed(0))
    noise = hashed_normal(seeds, 3001)
    assert noise.shape == (64, 3001)
    assert abs(float(noise.mean())) < 4 / noise.numel() ** 0.5
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    assert float((noise.abs() > 1.96).float().mean()) == pytest.approx(0.05, abs=0.002)
    assert float((noise**4).mean()) == pytest.approx(3, abs=0.1)
    neighbors = (noise[:, 1:] * noise[:, :-1]).mean()
    images = torch.corrcoef(noise).fill_diagonal_(0)
    assert abs(float(neighbors)) < 0.01
    assert images.abs().max() < 5 / 3001**0.5
    close = hashed_normal(torch.tensor([[1, 1], [1, 2], [2, 1]]), 3001)  # seeds that differ in one bit
    assert torch.corrcoef(close).fill_diagonal_(0).abs().max() < 5 / 3001**0.5


def test_draws_have_the_ranges_they_promise():
    generator = torch.Generator().manual_seed(0)
    assert whole(generator, torch.full((3000,), 3.0)).unique().tolist() == [0, 1, 2]
    values = uniform(generator, 3000, (-2, 4), 2)
    assert values.shape == (3000, 2)
    assert -2 <= values.min() < -1.98
    assert 3.98 < values.max() <= 4
    assert not happens(generator, 500, 0.0).any()
    assert happens(generator, 500, 1.0).all()
    assert float(happens(generator, 3000, 0.3).float().mean()) == pytest.approx(0.3, abs=0.03)


def test_other_transforms_of_albumentations_run_by_name():
    images = batch(3, 12, 3)
    seen = build_pipeline([Foreign(name="Posterize", p=1.0, num_bits=1)], "albumentations", meta(12, 3))(images, 0)
    assert set((seen * 255).round().unique().tolist()) <= {0.0, 128.0}
    assert torch.equal((seen * 255).round() == 128, images >= 128)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (Foreign(name="CenterCrop", p=0.5, height=8, width=8), r"CenterCrop makes uint8 \(8, 8, 3\) of uint8 \(12, 12"),
        (Foreign(name="ToFloat", p=0.1), r"ToFloat makes float32"),
        (Foreign(name="RandomCrop", p=0.1, height=64, width=64), r"RandomCrop fails on images of 12 x 12 pixels"),
    ],
    ids=lambda value: value.name if isinstance(value, Foreign) else "",
)
def test_a_transform_that_does_not_fit_the_images_is_refused_before_training(foreign, message):
    with pytest.raises(ParamsError, match=message):
        build_pipeline([foreign], "albumentations", meta(12, 3))


@pytest.mark.gpu
@pytest.mark.parametrize("name", PIPELINES)
def test_the_gpu_makes_the_views_that_the_cpu_makes(name):
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
        ("GaussNoise", {"std_range": [0.1, 10.0]}, "less than or equal to 1"),
        ("Erasing", {"scale": [0.4, 0.5], "ratio": [0.3, 3.3]}, "give a scale from at most 0.3"),
        ("Erasing", {"scale": [0.1, 0.2], "ratio": [2.0, 1.0]}, "give the smaller number first"),
    ],
)
def test_arguments_that_an_engine_cannot_draw_from_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        step(name, **arguments)
