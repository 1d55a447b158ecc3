"""The number of images without preparing them, against the splits that prepare makes."""

import numpy as np
import pytest

from fkt.raw.counts import counted
from fkt.raw.splits import limited, partition
from tests.fakes import prepare_params


@pytest.mark.parametrize("limit", [None, 5, 25])
@pytest.mark.parametrize("parts", [("train",), ("train", "test"), ("train", "val", "test")])
def test_counts_are_those_of_the_splits(parts: tuple[str, ...], limit: int | None) -> None:
    params = prepare_params("", limit_per_class=limit, val_fraction=0.21, test_fraction=0.33)
    draw = np.random.default_rng(0)
    labels = draw.choice(4, 400, p=[0.1, 0.2, 0.3, 0.4])
    source = draw.choice(parts, 400)
    kept = np.arange(400) if limit is None else limited(labels, source, limit, params.split_seed)
    final = partition(labels[kept], np.arange(len(kept)), source[kept], params, list("abcd"))
    found = counted({part: np.bincount(labels[source == part]).tolist() for part in parts}, params)
    assert found.train == np.bincount(labels[kept][final == "train"]).tolist()
    assert (found.val, found.test) == ((final == "val").sum(), (final == "test").sum())
    assert found.total == len(kept)
