"""Splits and duplicate groups, against loops and closed forms."""

import numpy as np
import pytest

from fkt.core.errors import CorruptData, ParamsError
from fkt.params import Prepare
from fkt.raw.partition import DROPPED, partition
from fkt.raw.splits import conflicts, copies_elsewhere, duplicate_groups, limited, stratified_split

PREPARE = Prepare(
    source=None,
    download=False,
    image_size=16,
    channels=1,
    val_fraction=0.2,
    test_fraction=0.25,
    split_seed=0,
    limit_per_class=None,
    on_corrupt="error",
    masks="none",
)


def random_case(seed):
    """Labels of uneven classes, and groups of one to four, some across classes."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(4, size=200, p=[0.4, 0.3, 0.2, 0.1])
    groups = np.arange(200)
    for _ in range(20):
        members = draw.choice(200, size=draw.integers(2, 5), replace=False)
        groups[members] = groups[members[0]]
    return labels, groups


def test_without_duplicates_every_class_gives_its_rounded_share():
    labels = np.repeat([0, 1, 2], [10, 25, 7])
    rest, held = stratified_split(labels, np.arange(42), 0.3, seed=1)
    np.testing.assert_array_equal(np.bincount(labels[held]), [3, 8, 2])  # 3.0, 7.5 (half up), 2.1
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held])), np.arange(42))
    assert (np.diff(rest) > 0).all() and (np.diff(held) > 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_ever_divided_and_the_shares_stay_near(seed):
    labels, groups = random_case(seed)
    rest, held = stratified_split(labels, groups, 0.25, seed)
    assert set(rest) | set(held) == set(range(200)) and not set(rest) & set(held)
    assert not set(groups[rest]) & set(groups[held])
    for label in range(4):
        share = (labels[held] == label).sum() / (labels == label).sum()
        assert abs(share - 0.25) < 0.15


def test_the_split_depends_on_its_seed_and_a_class_not_on_the_others():
    labels = np.repeat([0, 1], 50)
    _, held = stratified_split(labels, np.arange(100), 0.2, seed=3)
    _, again = stratified_split(labels, np.arange(100), 0.2, seed=3)
    _, other = stratified_split(labels, np.arange(100), 0.2, seed=4)
    _, alone = stratified_split(labels[:50], np.arange(50), 0.2, seed=3)
    np.testing.assert_array_equal(held, again)
    assert not np.array_equal(held, other)
    np.testing.assert_array_equal(held[held < 50], alone)


def test_where_no_group_fits_the_smallest_is_held_out():
    groups = np.repeat([0, 1, 2], [5, 3, 4])
    _, held = stratified_split(np.zeros(12, dtype=np.int64), groups, 0.1, seed=0)
    np.testing.assert_array_equal(held, [5, 6, 7])


def test_a_group_of_several_labels_counts_for_its_most_frequent_one():
    labels = np.array([0, 1, 1] + [0] * 10)
    groups = np.array([0, 0, 0, *range(1, 11)])
    rest, held = stratified_split(labels, groups, 0.5, seed=0)
    # class 1 owns the group of three: a target of 2 that nothing fits takes the smallest, which is all of it
    assert {0, 1, 2} <= set(held)
    assert len(rest) == 5


def test_equal_digests_share_a_group():
    np.testing.assert_array_equal(duplicate_groups([b"x", b"y", b"x", b"z", b"y"]), [0, 1, 0, 2, 1])


def test_a_limit_keeps_so_many_of_each_class_and_part_and_is_nested():
    labels = np.tile([0, 1, 2], 30)
    parts = np.repeat(["train", "test"], [60, 30])
    ten, four = limited(labels, parts, 15, seed=5), limited(labels, parts, 4, seed=5)
    assert set(four) < set(ten)
    for part, available in (("train", 20), ("test", 10)):
        for label in range(3):
            assert ((labels[ten] == label) & (parts[ten] == part)).sum() == min(15, available)
            assert ((labels[four] == label) & (parts[four] == part)).sum() == 4
    assert not np.array_equal(four, limited(labels, parts, 4, seed=6))


@pytest.mark.parametrize("seed", range(4))
def test_copies_and_conflicts_agree_with_loops(seed):
    labels, groups = random_case(seed)
    groups = np.unique(groups, return_inverse=True)[1]
    parts = np.random.default_rng(seed).choice(["train", "val", "test"], size=200)
    expected = [
        any(g == groups[i] and (p, parts[i]) in {("test", "train"), ("test", "val"), ("val", "train")}
            for g, p in zip(groups, parts, strict=True))
        for i in range(200)
    ]  # fmt: skip
    np.testing.assert_array_equal(copies_elsewhere(groups, parts), expected)
    mixed = [members for g in range(groups.max() + 1) if len(set(labels[members := np.flatnonzero(groups == g)])) > 1]
    found = conflicts(groups, labels)
    assert len(found) == len(mixed)
    for one, other in zip(found, mixed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_missing_parts_are_cut_from_train_and_given_ones_stay():
    labels = np.tile([0, 1], 50)
    groups = np.arange(100)
    final = partition(labels, groups, np.repeat(["train"], 100), PREPARE, ["a", "b"])
    # test: 13 of 50 (12.5, half up); val: 7 of the 37 left (7.4)
    assert {part: int((final == part).sum()) for part in ("train", "val", "test")} == {
        "train": 60,
        "val": 14,
        "test": 26,
    }
    given = np.repeat(["train", "val", "test"], [60, 10, 30])
    np.testing.assert_array_equal(partition(labels, groups, given, PREPARE, ["a", "b"]), given)


def test_copies_of_held_out_images_are_dropped_from_train():
    labels = np.tile([0, 1], 20)
    parts = np.repeat(["train", "test"], [30, 10])
    groups = np.arange(40)
    groups[[0, 7]] = groups[35]
    final = partition(labels, groups, parts, PREPARE, ["a", "b"])
    assert set(np.flatnonzero(final == DROPPED)) == {0, 7}
    assert final[35] == "test"


@pytest.mark.parametrize("seed", range(4))
def test_no_group_straddles_the_final_splits(seed):
    labels, groups = random_case(seed)
    groups = np.unique(groups, return_inverse=True)[1]
    for parts in (np.repeat(["train"], 200), np.random.default_rng(seed).choice(["train", "train", "test"], size=200)):
        final = partition(labels, groups, parts, PREPARE, list("abcd"))
        for group in range(groups.max() + 1):
            assert len(set(final[groups == group]) - {DROPPED}) == 1


def test_a_cut_that_empties_a_class_names_class_count_and_remedy():
    labels = np.array([0] * 20 + [1] * 2 + [2])
    parts = np.array(["train"] * 23)
    with pytest.raises(ParamsError) as caught:
        partition(labels, np.arange(23), parts, PREPARE, ["many", "two", "one"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 1  # a quarter of two images is one, half up
    assert 'prepare.test_fraction: 0.25 of the 1 images of class "one"' in lines[0]
    assert "add images of that class" in lines[0]


def test_a_class_of_one_image_in_many_copies_cannot_be_split():
    labels = np.repeat([0, 1], [20, 10])
    groups = np.concatenate([np.arange(20), np.full(10, 20)])
    with pytest.raises(ParamsError, match=r'10 images of class "b" \(1 of them distinct\) leaves 0 for train'):
        partition(labels, groups, np.repeat(["train"], 30), PREPARE, ["a", "b"])


def test_a_class_without_training_images_is_named():
    with pytest.raises(CorruptData, match='no training images of class "b"'):
        partition(np.array([0, 0, 1]), np.arange(3), np.array(["train", "train", "test"]), PREPARE, ["a", "b"])
