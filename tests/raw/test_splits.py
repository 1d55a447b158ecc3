"""Splits and duplicate groups, against loops and closed forms."""

import numpy as np
import pytest

from fkt.core.errors import CorruptData, ParamsError
from fkt.raw.splits import (
    DROPPED,
    conflicts,
    copies_elsewhere,
    duplicate_groups,
    limited,
    partition,
    stratified_split,
)
from tests.fakes import prepare_params

PREPARE = prepare_params(None, val_fraction=0.2, test_fraction=0.25)


def random_case(seed):
    """Labels of uneven classes, and groups of one to five images, some with several labels."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(4, size=200, p=[0.4, 0.3, 0.2, 0.1])
    groups = np.arange(200)
    for _ in range(20):
        members = draw.choice(200, size=draw.integers(2, 5), replace=False)
        groups[members] = groups[members[0]]
    return labels, np.unique(groups, return_inverse=True)[1]


def test_without_duplicates_each_class_gives_its_rounded_share():
    labels = np.repeat([0, 1, 2], [10, 25, 7])
    rest, held = stratified_split(labels, np.arange(42), 0.3, seed=1)
    np.testing.assert_array_equal(np.bincount(labels[held]), [3, 8, 2])  # 3.0, 7.5 (half up), 2.1
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held])), np.arange(42))
    assert (np.diff(rest) > 0).all() and (np.diff(held) > 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_no_group_is_divided(seed):
    labels, groups = random_case(seed)
    rest, held = stratified_split(labels, groups, 0.25, seed)
    assert set(rest) | set(held) == set(range(200)) and not set(rest) & set(held)
    assert not set(groups[rest]) & set(groups[held])
    for label in range(4):
        share = (labels[held] == label).sum() / (labels == label).sum()
        assert abs(share - 0.25) < 0.2
    for parts in (np.repeat(["train"], 200), np.random.default_rng(seed).choice(["train", "train", "test"], size=200)):
        final = partition(labels, groups, parts, PREPARE, list("abcd"))
        for group in range(groups.max() + 1):
            assert len(set(final[groups == group]) - {DROPPED}) == 1


def test_the_split_of_a_class_depends_only_on_the_seed_and_the_class():
    labels = np.repeat([0, 1], 50)
    _, held = stratified_split(labels, np.arange(100), 0.2, seed=3)
    _, again = stratified_split(labels, np.arange(100), 0.2, seed=3)
    _, other = stratified_split(labels, np.arange(100), 0.2, seed=4)
    _, alone = stratified_split(labels[:50], np.arange(50), 0.2, seed=3)
    np.testing.assert_array_equal(held, again)
    assert not np.array_equal(held, other)
    np.testing.assert_array_equal(held[held < 50], alone)


def test_a_rare_class_is_in_both_parts_if_its_groups_have_more_images_of_another_class():
    """Each group has nine images of class 0; two of the 20 groups also have one of class 1."""
    groups = np.concatenate([np.repeat(np.arange(20), 9), [0, 1]])
    labels = (np.arange(len(groups)) >= 180).astype(np.int64)
    for seed in range(10):
        rest, held = stratified_split(labels, groups, 0.25, seed)
        assert labels[rest].sum() == labels[held].sum() == 1
        assert 36 <= (labels[held] == 0).sum() <= 54


@pytest.mark.parametrize(
    ("sizes", "expected"), [([7] * 10, 2 * 7), ([7] * 7, 7), ([5, 5], 5), ([5, 3, 4], 3), ([2, 9, 9, 9, 9], 11)]
)
def test_large_groups_come_as_close_to_the_share_as_they_can(sizes, expected):
    """Shares of 14, 9.8, 5, 2.4 and 7.6 images."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels, fraction = np.zeros(len(groups), dtype=np.int64), 0.5 if len(sizes) == 2 else 0.2
    assert {len(stratified_split(labels, groups, fraction, seed)[1]) for seed in range(9)} == {expected}


def test_a_limit_applies_to_each_class_and_part_and_a_smaller_limit_gives_a_subset():
    labels = np.tile([0, 1, 2], 30)
    parts = np.repeat(["train", "test"], [60, 30])
    fifteen, four = limited(labels, parts, 15, seed=5), limited(labels, parts, 4, seed=5)
    assert set(four) < set(fifteen)
    for part, available in (("train", 20), ("test", 10)):
        for label in range(3):
            assert ((labels[fifteen] == label) & (parts[fifteen] == part)).sum() == min(15, available)
            assert ((labels[four] == label) & (parts[four] == part)).sum() == 4
    assert not np.array_equal(four, limited(labels, parts, 4, seed=6))


@pytest.mark.parametrize("seed", range(4))
def test_copies_and_conflicts_agree_with_loops(seed):
    np.testing.assert_array_equal(duplicate_groups([b"x", b"y", b"x", b"z", b"y"]), [0, 1, 0, 2, 1])
    labels, groups = random_case(seed)
    parts = np.random.default_rng(seed).choice(["train", "val", "test"], size=200)
    expected = [
        any(g == groups[i] and (p, parts[i]) in {("test", "train"), ("test", "val"), ("val", "train")}
            for g, p in zip(groups, parts, strict=True))
        for i in range(200)
    ]  # fmt: skip
    np.testing.assert_array_equal(copies_elsewhere(groups, parts), expected)
    mixed = [members for g in range(groups.max() + 1) if len(set(labels[members := np.flatnonzero(groups == g)])) > 1]
    for one, other in zip(conflicts(groups, labels), mixed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_missing_parts_are_cut_from_train_and_given_parts_do_not_change():
    labels, groups = np.tile([0, 1], 50), np.arange(100)
    final = partition(labels, groups, np.repeat(["train"], 100), PREPARE, ["a", "b"])
    # test: 13 of 50 (12.5, half up); val: 7 of the 37 left (7.4)
    assert {part: int((final == part).sum()) for part in ("train", "val", "test")} == {
        "train": 60,
        "val": 14,
        "test": 26,
    }
    given = np.repeat(["train", "val", "test"], [60, 10, 30])
    np.testing.assert_array_equal(partition(labels, groups, given, PREPARE, ["a", "b"]), given)
    groups[[0, 7]] = groups[95]  # copies of a test image
    final = partition(labels, groups, given, PREPARE, ["a", "b"])
    assert set(np.flatnonzero(final == DROPPED)) == {0, 7} and final[95] == "test"


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (  # a quarter of two images is one, half up
            [0] * 20 + [1] * 2 + [2],
            range(23),
            r'^prepare.test_fraction: 0.25 of the 1 image of class "2" .*add images of that class, or raise[^\n]*$',
        ),
        (
            [0] * 20 + [1] * 10,
            [*range(20), *[20] * 10],
            r'10 images of class "1" \(1 of them distinct\) leaves 0 for train .*, or lower the fraction$',
        ),
    ],
    ids=["one image", "many copies of one image"],
)
def test_a_cut_that_leaves_a_class_empty_is_refused(labels, groups, message):
    labels, classes = np.array(labels), [str(label) for label in range(max(labels) + 1)]
    with pytest.raises(ParamsError, match=message):
        partition(labels, np.array(groups), np.repeat(["train"], len(labels)), PREPARE, classes)


def test_a_class_without_training_images_is_refused():
    with pytest.raises(CorruptData, match='no training images of class "b"'):
        partition(np.array([0, 0, 1]), np.arange(3), np.array(["train", "train", "test"]), PREPARE, ["a", "b"])
