"""Decoding, resizing and cropping, against closed forms."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from fkt.raw import resize
from fkt.raw.decode import Unreadable, as_channels, decode_file
from fkt.raw.fundus import crop_black_border
from fkt.raw.resize import SquareFit
from tests.fakes import fundus_image, save, write_broken_files, write_odd_files

DRAW = np.random.default_rng(0)
GRAY16 = DRAW.integers(0, 65536, (6, 5)).astype(np.uint16)


def written(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name):
    pixels = decode_file(written(tmp_path / name, Image.fromarray(GRAY16)), 1)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[..., 0], np.round(GRAY16 / 257.0))
    np.testing.assert_array_equal(pixels.repeat(3, axis=2), decode_file(tmp_path / name, 3))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_of_sixteen_bits_of_color_the_high_byte_is_kept(tmp_path, name):
    import cv2  # pillow writes no such files

    color16 = DRAW.integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / name), color16[..., ::-1])
    np.testing.assert_array_equal(decode_file(tmp_path / name, 3), color16 // 256)


def test_32_bit_integers_are_read_on_the_16_bit_scale_or_refused(tmp_path):
    path = written(tmp_path / "a.tif", Image.fromarray(GRAY16.astype(np.int32)))
    np.testing.assert_array_equal(decode_file(path, 1)[..., 0], np.round(GRAY16 / 257.0))
    with pytest.raises(Unreadable, match="0 to 70000, which is no known range"):
        decode_file(written(tmp_path / "b.tif", Image.fromarray(np.array([[0, 70000]], dtype=np.int32))), 1)


def test_floating_point_images_are_read_on_their_scale_or_refused(tmp_path):
    values = np.array([[0.0, 0.25], [0.5, 1.0]], dtype=np.float32)
    unit = decode_file(written(tmp_path / "a.tif", Image.fromarray(values)), 1)
    np.testing.assert_array_equal(unit[..., 0], [[0, 64], [128, 255]])
    bytes_ = decode_file(written(tmp_path / "b.tif", Image.fromarray(values * 255)), 1)
    np.testing.assert_array_equal(bytes_[..., 0], [[0, 64], [128, 255]])
    for bad in (-0.1, 256.0, np.nan):
        bad_path = written(tmp_path / "c.tif", Image.fromarray(np.array([[0.5, bad]], dtype=np.float32)))
        with pytest.raises(Unreadable, match="no known range"):
            decode_file(bad_path, 1)


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = (0, 255, 51)
    for mode in ("RGBA", "LA"):
        path = written(tmp_path / f"{mode}.png", Image.fromarray(rgba).convert(mode))
        np.testing.assert_array_equal(decode_file(path, 3)[0, :, 0], [255, 0, 204])
        np.testing.assert_array_equal(decode_file(path, 1)[0, :, 0], [255, 0, 204])


def test_the_background_of_transparency_may_be_another(tmp_path):
    rgba = np.full((1, 3, 4), 200, dtype=np.uint8)
    rgba[0, :, 3] = (0, 255, 51)
    path = written(tmp_path / "a.png", Image.fromarray(rgba))
    np.testing.assert_array_equal(decode_file(path, 1, background="black")[0, :, 0], [0, 200, 40])


def test_a_transparent_palette_entry_is_white_and_the_others_keep_their_color(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_file(written(tmp_path / "a.png", image), 3)[0], [[10, 20, 30], [200, 100, 50]])
    clear = written(tmp_path / "b.png", image, transparency=0)
    np.testing.assert_array_equal(decode_file(clear, 3)[0], [[255, 255, 255], [200, 100, 50]])


def test_one_bit_images_are_black_and_white(tmp_path):
    path = written(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    np.testing.assert_array_equal(decode_file(path, 1)[0, :, 0], [255, 0])


def test_cmyk_jpegs_have_the_colors_that_the_inks_make(tmp_path):
    path = written(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (255, 0, 0, 0)), quality=100)
    assert np.abs(decode_file(path, 3).astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize(("tag", "turn"), [(3, 2), (6, -1), (8, 1)])
def test_images_stand_upright_as_exif_says(tmp_path, tag, turn):
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


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (200, 10)]
    path = written(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_file(path, 1), 200)


def test_every_odd_file_of_the_fakes_is_read(tmp_path):
    names = write_odd_files(tmp_path, size=24)
    assert len(names) == 7
    for name in names:
        assert decode_file(tmp_path / name, 3).shape == (24, 24, 3)


def test_broken_files_are_refused_with_a_reason_and_never_half_read(tmp_path):
    write_broken_files(tmp_path)
    reasons = {}
    for name in ("broken_truncated.jpg", "broken_empty.png", "broken_text.jpg", "absent.png"):
        with pytest.raises(Unreadable) as caught:
            decode_file(tmp_path / name, 3)
        assert name in str(caught.value)
        assert str(tmp_path) not in caught.value.reason
        reasons[name] = caught.value.reason
    assert "truncated" in reasons["broken_truncated.jpg"].lower()
    assert reasons["broken_empty.png"] == "the file is empty"
    assert reasons["broken_text.jpg"].startswith("not an image")
    assert reasons["absent.png"] == "the file is missing"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_png_cut_short_or_altered_is_refused(tmp_path):
    save(tmp_path / "a.png", DRAW.integers(0, 256, (64, 64, 3)).astype(np.uint8))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "bad.png").write_bytes(content[:2000] + bytes(64) + content[2064:])
    for name in ("cut.png", "bad.png"):
        with pytest.raises(Unreadable):
            decode_file(tmp_path / name, 3)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "a.png", np.zeros((64, 64, 3), dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Unreadable, match="decompression bomb"):
        decode_file(tmp_path / "a.png", 3)


def test_an_image_of_the_right_size_needs_no_albumentations(monkeypatch):
    monkeypatch.setattr(resize, "_pipeline", None)
    image = DRAW.integers(0, 256, (16, 16, 1)).astype(np.uint8)
    assert SquareFit(16)(image) is image


def test_shrinking_by_two_is_the_mean_of_each_block():
    image = DRAW.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    blocks = image.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    assert np.abs(SquareFit(16)(image) - blocks).max() <= 0.5


def test_the_center_is_cut_out_along_the_longer_side():
    image = np.zeros((16, 48, 1), dtype=np.uint8)
    image[:, 16:32] = 200
    np.testing.assert_array_equal(SquareFit(16)(image), 200)
    np.testing.assert_array_equal(SquareFit(16)(image.transpose(1, 0, 2)), 200)


@pytest.mark.parametrize("shape", [(1, 5), (7, 7), (8, 8), (33, 40), (300, 17), (3, 4000), (16, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_shape_becomes_the_square(shape, channels):
    image = np.full((*shape, channels), 77, dtype=np.uint8)
    np.testing.assert_array_equal(SquareFit(16)(image), np.full((16, 16, channels), 77))


def test_threads_share_a_fit_without_changing_its_result():
    fit = SquareFit(12)
    images = [DRAW.integers(0, 256, (20 + i, 45 - i, 3)).astype(np.uint8) for i in range(24)]
    alone = [fit(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(fit, images), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_black_border_of_a_fundus_photograph_is_cut_away():
    photograph = fundus_image(0, np.random.default_rng(0), 100, 160)
    photograph[3, 3] = 255  # a hot pixel is no disc
    height, width, _ = crop_black_border(photograph).shape
    assert 88 <= height <= 92 and 88 <= width <= 92  # the disc's diameter is 90


def test_a_photograph_too_dark_to_tell_is_kept_whole():
    dark = np.full((50, 60, 3), 4, dtype=np.uint8)
    assert crop_black_border(dark).shape == dark.shape
    dark[20:24, 20:24] = 200
    assert crop_black_border(dark).shape == dark.shape
