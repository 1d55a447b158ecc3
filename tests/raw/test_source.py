"""Decoding, resizing and cropping of image files, against closed forms and albumentations."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from fkt.raw.fundus import crop_black_border
from fkt.raw.source import Unreadable, as_channels, decode_file, fit_square, image_suffixes
from tests.fakes import save, write_broken_files

DRAW = np.random.default_rng(0)
GRAY16 = DRAW.integers(0, 65536, (6, 5)).astype(np.uint16)


def written(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_gray_is_scaled_and_of_16_bit_color_the_high_byte_is_used(tmp_path, name):
    import cv2  # pillow cannot write 16-bit color

    pixels = decode_file(written(tmp_path / name, Image.fromarray(GRAY16)), 1)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[..., 0], np.round(GRAY16 / 257.0))
    np.testing.assert_array_equal(pixels.repeat(3, axis=2), decode_file(tmp_path / name, 3))
    color16 = DRAW.integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / name), color16[..., ::-1])
    np.testing.assert_array_equal(decode_file(tmp_path / name, 3), color16 // 256)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GRAY16.astype(np.int32), np.round(GRAY16 / 257.0)),
        (np.array([[0, 70000]], dtype=np.int32), None),
        (np.array([[0.0, 0.25], [0.5, 1.0]], dtype=np.float32), [[0, 64], [128, 255]]),
        (np.array([[0.0, 63.75], [127.5, 255.0]], dtype=np.float32), [[0, 64], [128, 255]]),
        (np.array([[0.5, -0.1]], dtype=np.float32), None),
        (np.array([[0.5, 256.0]], dtype=np.float32), None),
        (np.array([[0.5, np.nan]], dtype=np.float32), None),
    ],
)
def test_32_bit_images_are_scaled_from_a_known_range_or_refused(tmp_path, values, expected):
    path = written(tmp_path / "a.tif", Image.fromarray(values))
    if expected is None:
        with pytest.raises(Unreadable, match="unknown value range: .* to .*; convert the image to 8 bits"):
            decode_file(path, 1)
    else:
        np.testing.assert_array_equal(decode_file(path, 1)[..., 0], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_show_the_background(tmp_path, mode):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = (0, 255, 51)
    path = written(tmp_path / "a.png", Image.fromarray(rgba).convert(mode))
    np.testing.assert_array_equal(decode_file(path, 3)[0, :, 0], [255, 0, 204])
    np.testing.assert_array_equal(decode_file(path, 1)[0, :, 0], [255, 0, 204])
    rgba[..., :3] = 200
    path = written(tmp_path / "b.png", Image.fromarray(rgba).convert(mode))
    np.testing.assert_array_equal(decode_file(path, 1, background="black")[0, :, 0], [0, 200, 40])


def test_palette_images_keep_their_colors_and_a_transparent_entry_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_file(written(tmp_path / "a.png", image), 3)[0], [[10, 20, 30], [200, 100, 50]])
    clear = written(tmp_path / "b.png", image, transparency=0)
    np.testing.assert_array_equal(decode_file(clear, 3)[0], [[255, 255, 255], [200, 100, 50]])


def test_one_bit_cmyk_and_animated_images_are_read(tmp_path):
    bits = written(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    np.testing.assert_array_equal(decode_file(bits, 1)[0, :, 0], [255, 0])
    inks = written(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (255, 0, 0, 0)), quality=100)
    assert np.abs(decode_file(inks, 3).astype(int) - [0, 255, 255]).max() <= 3
    frames = [Image.new("L", (4, 4), value) for value in (200, 10)]
    animation = written(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_file(animation, 1), 200)


@pytest.mark.parametrize(("tag", "turn"), [(3, 2), (6, -1), (8, 1)])
def test_images_are_rotated_as_their_exif_tag_says(tmp_path, tag, turn):
    pixels = DRAW.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = tag
    path = written(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    np.testing.assert_array_equal(decode_file(path, 3), np.rot90(pixels, turn))


def test_one_channel_is_luma():
    pixels = DRAW.integers(0, 256, (8, 9, 3)).astype(np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(as_channels(pixels, 1)[..., 0] - luma).max() <= 0.51
    assert as_channels(pixels[..., 0], 3).shape == (8, 9, 3)


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_photographs_of_phones_are_read_or_the_missing_package_is_named(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    if suffix not in image_suffixes():
        path.write_bytes(b"\0\0\0\x18ftypheic")
        with pytest.raises(Unreadable, match="pip install pillow-heif"):
            decode_file(path, 3)
        return
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[:, :32] = (200, 90, 30)
    Image.fromarray(image).save(path, quality=95)
    np.testing.assert_allclose(decode_file(path, 3), image, atol=40)  # the edge is blurred


def test_broken_files_are_refused_with_a_reason(tmp_path, monkeypatch):
    write_broken_files(tmp_path)
    save(tmp_path / "whole.png", DRAW.integers(0, 256, (64, 64, 3)).astype(np.uint8))
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "altered.png").write_bytes(content[:2000] + bytes(64) + content[2064:])
    reasons = {
        "broken_truncated.jpg": "truncated",
        "broken_empty.png": "the file is empty",
        "broken_text.jpg": "not an image, or a format that pillow cannot read",
        "absent.png": "the file is missing",
        "cut.png": "",
        "altered.png": "",
    }
    for name, reason in reasons.items():
        with pytest.raises(Unreadable, match=name) as caught:
            decode_file(tmp_path / name, 3)
        assert reason in caught.value.reason.lower() and str(tmp_path) not in caught.value.reason
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    with pytest.raises(Unreadable, match=r"pixels are more than prepare.max_pixels: 1,000; shrink it, or raise that"):
        decode_file(tmp_path / "whole.png", 3, max_pixels=1000)
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("pipe.png", "."):
        with pytest.raises(Unreadable, match="not a regular file"):
            decode_file(tmp_path / name, 3)


SHAPES = [(1, 5), (7, 7), (33, 40), (64, 32), (130, 17), (16, 17), (15, 90)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_squares_are_those_of_albumentations(shape, channels):
    import albumentations as alb
    import cv2

    image = DRAW.integers(0, 256, (*shape, channels)).astype(np.uint8)
    how = {"interpolation": cv2.INTER_LINEAR, "area_for_downscale": "image", "p": 1.0}
    squares = {
        "crop": [alb.SmallestMaxSize(16, **how), alb.CenterCrop(16, 16, p=1.0)],
        "pad": [alb.LongestMaxSize(16, **how), alb.PadIfNeeded(16, 16, fill=0, p=1.0)],
    }
    for fit, transforms in squares.items():
        np.testing.assert_array_equal(fit_square(image, 16, fit), alb.Compose(transforms)(image=image)["image"])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stretched_side_is_averaged_where_it_shrinks_and_interpolated_where_it_grows(shape):
    image = DRAW.integers(0, 256, shape).astype(np.uint8)

    def side(line):
        if len(line) >= 16:
            return np.repeat(line, 16).reshape(16, len(line)).mean(axis=1)
        return np.interp((np.arange(16) + 0.5) * len(line) / 16 - 0.5, np.arange(len(line)), line)

    expected = np.apply_along_axis(side, 1, np.apply_along_axis(side, 0, image.astype(float)))
    np.testing.assert_allclose(fit_square(image[..., None], 16, "stretch")[..., 0], expected, atol=1.01)


def test_a_square_is_not_copied_and_a_very_long_image_needs_little_memory():
    square = np.zeros((16, 16, 1), dtype=np.uint8)
    assert fit_square(square, 16, "crop") is square
    long = np.full((3, 4000, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(fit_square(long, 16, "crop"), np.full((16, 16, 3), 77))


def fundus(height, width, center, radii):
    """A photograph of an eye: bright inside of an ellipse, dim at its edge, noise on black outside."""
    y, x = np.mgrid[0:height, 0:width]
    inside = np.clip(1 - np.hypot((y - center[0]) / radii[0], (x - center[1]) / radii[1]), 0, None)
    eye = (inside > 0)[..., None] * np.array([70.0, 40.0, 20.0]) + np.sqrt(inside)[..., None] * 100
    return np.clip(eye + np.random.default_rng(0).normal(0, 1.5, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "photograph", "expected"),
    [
        ("a full circle with a border", fundus(300, 400, (150, 200), (140, 140)), (280, 280)),
        ("near the left edge", fundus(300, 400, (150, 110), (108, 108)), (216, 216)),
        ("a circle cut at top and bottom, with a border", fundus(300, 450, (150, 225), (180, 180)), (300, 360)),
        ("the same, squeezed to a square", fundus(300, 300, (150, 150), (180, 120)), (300, 300)),
        ("a full circle with a border, squeezed", fundus(300, 300, (150, 150), (140, 100)), (280, 280)),
        ("a square out of the eye", fundus(224, 224, (112, 112), (180, 180)), (224, 224)),
        ("a square with a dim edge of 2 %", fundus(224, 224, (112, 112), (109, 109)), (224, 224)),
    ],
)
def test_the_black_border_of_a_fundus_photograph_is_cropped_and_the_retina_stays_whole(name, photograph, expected):
    photograph[3, 3] = 255  # a hot pixel is not the eye
    cropped = crop_black_border(photograph)
    np.testing.assert_allclose(cropped.shape[:2], expected, atol=3, err_msg=name)
    eyes = [(image.max(axis=2) > 20).sum() for image in (photograph, cropped)]
    assert eyes[1] >= eyes[0] - 1, f"{name}: retina was lost"
    if expected[0] == expected[1]:
        square = fit_square(cropped, 100, "crop").max(axis=2) > 20
        assert square.mean() == pytest.approx(eyes[1] / cropped[..., 0].size, abs=0.02)


def test_a_photograph_that_is_too_dark_is_not_cropped():
    dark = np.full((50, 60, 3), 4, dtype=np.uint8)
    assert crop_black_border(dark).shape == dark.shape
    dark[20:24, 20:24] = 200
    assert crop_black_border(dark).shape == dark.shape
