"""The labelled subset, and params.yaml against the data."""

from pathlib import Path

import pytest
import torch

from fkt.core.errors import ParamsError
from fkt.data.meta import Meta
from fkt.params import Labels, Params, load_params
from fkt.training.labels import check_against_data, labelled_index, ssl_labelled_index

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
LABELS = torch.arange(300) % 3
UNEVEN = torch.repeat_interleave(torch.arange(3), torch.tensor([100, 15, 4]))


def budget(per_class=None, fraction=None):
    return Labels(per_class=per_class, fraction=fraction)


def changed(**sections):
    """Params with some sections' fields changed."""
    update = {
        name: getattr(PARAMS, name).model_copy(update=value) if isinstance(value, dict) else value
        for name, value in sections.items()
    }
    return PARAMS.model_copy(update=update)


def meta(train=(50, 37, 60), dataset="digits"):
    counts = {"train": list(train), "val": [9] * len(train), "test": [9] * len(train)}
    return Meta(dataset, [f"c{i}" for i in range(len(train))], 16, 1, counts, [0.5], [0.2])


def test_no_budget_is_every_label():
    torch.testing.assert_close(labelled_index(LABELS, budget(), 0), torch.arange(300))


def test_a_number_is_taken_of_every_class_in_sorted_order():
    index = labelled_index(LABELS[torch.randperm(300, generator=torch.Generator().manual_seed(0))], budget(7), 0)
    assert index.dtype == torch.int64
    assert bool((index.diff() > 0).all())
    index = labelled_index(LABELS, budget(7), 0)
    assert torch.bincount(LABELS[index]).tolist() == [7, 7, 7]


def test_a_fraction_is_rounded_half_up_and_is_at_least_one():
    assert torch.bincount(UNEVEN[labelled_index(UNEVEN, budget(fraction=0.1), 0)]).tolist() == [10, 2, 1]
    assert torch.bincount(UNEVEN[labelled_index(UNEVEN, budget(fraction=0.001), 0)]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_smaller_budgets_lie_inside_larger_ones_of_the_same_seed(seed):
    budgets = [budget(1), budget(fraction=0.02), budget(3), budget(fraction=0.1), budget(30), budget(fraction=0.5)]
    subsets = [set(labelled_index(LABELS, one, seed).tolist()) for one in budgets]
    for small, large in zip(subsets, subsets[1:], strict=False):
        assert small < large


@pytest.mark.parametrize("fraction", [0.001, 0.03, 0.3, 0.5])
def test_ssl_and_a_label_budget_of_the_same_fraction_see_the_same_images(fraction):
    for seed in range(3):
        found = ssl_labelled_index(UNEVEN, fraction, seed)
        assert torch.equal(found, labelled_index(UNEVEN, budget(fraction=fraction), seed))


def test_ssl_sees_no_label_at_0_all_at_1_and_more_on_top_of_less_between():
    index = [ssl_labelled_index(UNEVEN, fraction, 0) for fraction in (0.0, 0.001, 0.1, 0.3, 0.5, 1.0)]
    assert index[0].tolist() == [] and index[0].dtype == torch.int64
    assert index[-1].tolist() == list(range(len(UNEVEN)))
    for small, large in zip(index, index[1:], strict=False):
        assert set(small.tolist()) < set(large.tolist())


@pytest.mark.parametrize(
    ("labels", "fraction"),
    [({}, 0.5), ({}, 1.0), ({"fraction": 0.3}, 0.3), ({"fraction": 0.3}, 0.29), ({"per_class": 6}, 0.1)],
)
def test_ssl_labels_within_the_budget_pass_and_are_among_its_images(labels, fraction):
    params = changed(labels={"per_class": None} | labels, ssl={"label_fraction": fraction})
    check_against_data(params, meta())
    train = torch.repeat_interleave(torch.arange(3), torch.tensor([50, 37, 60]))
    for seed in range(3):
        ssl, granted = ssl_labelled_index(train, fraction, seed), labelled_index(train, params.labels, seed)
        assert set(ssl.tolist()) <= set(granted.tolist())


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        ({"fraction": 0.3}, 0.31, r'0.31 is 16 labels of class "c0", but the label budget grants 15'),
        (
            {"fraction": 0.3},
            1.0,
            r'1.0 is 37 labels of class "c1", but the label budget grants 11; give at most 0.297,',
        ),
        ({"per_class": 4}, 0.1, r'0.1 is 6 labels of class "c2", but the label budget grants 4; give at most 0.0667,'),
        ({"per_class": 5}, 0.1, r'0.1 is 6 labels of class "c2", but the label budget grants 5; .*raise labels.per_'),
    ],
)
def test_ssl_labels_beyond_the_budget_are_refused_with_the_numbers_and_the_remedy(labels, fraction, message):
    params = changed(labels={"per_class": None} | labels, ssl={"label_fraction": fraction})
    with pytest.raises(ParamsError, match=f"ssl.label_fraction: {message}"):
        check_against_data(params, meta())


def test_the_subset_is_a_function_of_labels_budget_and_seed_alone():
    first = labelled_index(LABELS, budget(10), 1)
    torch.manual_seed(99)
    torch.testing.assert_close(labelled_index(LABELS, budget(10), 1), first)
    assert not torch.equal(labelled_index(LABELS, budget(10), 2), first)


def test_every_image_is_drawn_by_some_seed():
    drawn = torch.cat([labelled_index(LABELS, budget(20), seed) for seed in range(60)])
    assert len(drawn.unique()) == len(LABELS)


def test_more_labels_than_a_class_has_is_an_error_naming_it():
    with pytest.raises(ParamsError, match=r'labels.per_class: 5 is more than the 4 training images of class "rare"'):
        labelled_index(UNEVEN, budget(5), 0, ["a", "b", "rare"])
    assert len(labelled_index(UNEVEN, budget(4), 0)) == 12


def test_params_that_fit_the_data_pass():
    check_against_data(changed(labels={"per_class": 37}), meta())


def test_every_mistake_against_the_data_is_on_a_line_of_its_own():
    params: Params = changed(labels={"per_class": 50}, joint={"batch_size": 148}, finetune={"batch_size": 512})
    with pytest.raises(ParamsError) as caught:
        check_against_data(params, meta())
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[0].startswith('labels.per_class: 50 is more than the 37 training images of class "c1"; ')
    assert lines[1:] == [
        "finetune.batch_size: 512 is more than the 147 training images; give at most 147",
        "joint.batch_size: 148 is more than the 147 training images; give at most 147",
    ]


def test_what_is_not_trained_is_not_judged():
    too_large = changed(frozen={"batch_size": 512}, distill={"batch_size": 512, "clusters": 148})
    check_against_data(too_large, meta())
    with pytest.raises(ParamsError) as caught:
        check_against_data(too_large.model_copy(update={"modes": ["frozen", "distilled"]}), meta())
    assert [line.strip().split(" is more")[0] for line in str(caught.value).splitlines()] == [
        "frozen.batch_size: 512",
        "distill.batch_size: 512",
        "distill.clusters: 148",
    ]


def test_data_of_another_dataset_are_refused():
    with pytest.raises(ParamsError, match="dataset: 'digits', but the prepared data are of 'cifar10'"):
        check_against_data(PARAMS, meta(dataset="cifar10"))
