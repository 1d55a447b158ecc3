"""Batches as a function of (seed, step): images, labels and random numbers, in every process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fkt.core.errors import ParamsError, UserError
from fkt.data.store import Split
from fkt.views.loader import Loader, num_workers
from fkt.views.pipeline import build_pipeline
from tests.views.pictures import PIPELINES, fake_split, step

LABELLED = torch.tensor([1, 4, 8, 13, 20])
SSL_LABELLED = torch.tensor([4, 13])
NONE = torch.tensor([], dtype=torch.long)
STEPS = [*PIPELINES["RandomResizedCrop"], *PIPELINES["Solarize"]]
ENGINES = ("batched", "albumentations")
ROOT = Path(__file__).resolve().parents[2]


def loader(
    split=None,
    labelled=LABELLED,
    ssl_labelled=SSL_LABELLED,
    num_views=2,
    engine="batched",
    batch_size=8,
    seed=0,
    steps=STEPS,
    images=True,
    same_images=False,
    parts=1,
):
    split = split if split is not None else fake_split(21)
    views = build_pipeline(steps, engine, split.meta)
    return Loader(
        split,
        labelled,
        ssl_labelled=ssl_labelled,
        num_views=num_views,
        views=views,
        images=views if images else None,
        same_images=same_images,
        batch_size=batch_size,
        parts=parts,
        seed=seed,
    )


def which(images):
    """Positions of the images of a batch without augmentation; see fake_split."""
    return ((images[:, 0, 0, 0] * 0.3 + 0.4) * 255).round().long()


def same(one, other):
    pairs = [*zip(one.views.images, other.views.images, strict=True), (one.views.labels, other.views.labels)]
    pairs += [(one.images, other.images), (one.labels, other.labels)]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)


def test_each_epoch_of_views_is_another_permutation_in_full_batches():
    source = loader(steps=[])
    epochs = [  # 21 images make two batches of 8
        torch.cat([which(source.batch(2 * epoch + at).views.images[0]) for at in range(2)]) for epoch in range(40)
    ]
    assert all(len(epoch.unique()) == 16 for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 40
    seen = torch.cat(epochs).bincount(minlength=21)
    assert (seen > 20).all()  # of 40: no image is always among the 5 that an epoch leaves out


@pytest.mark.parametrize("images", [True, False])
def test_views_of_a_step_show_the_same_images_with_the_labels_that_may_be_known(images):
    source = loader(steps=[], images=images)
    for at in range(5):
        batch = source.batch(at)
        assert len(batch.views.images) == 2
        index = which(batch.views.images[0])
        assert torch.equal(index, which(batch.views.images[1])) and torch.equal(index, batch.views.ids)
        assert torch.equal(batch.views.labels, torch.where(torch.isin(index, SSL_LABELLED), index % 3, -1))
        known = torch.where(torch.isin(index, LABELLED), index % 3, -1)
        assert torch.equal(batch.labels, which(batch.images) % 3 if images else known)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_method_without_ssl_labels_sees_no_labels(engine):
    for batch in loader(ssl_labelled=NONE, engine=engine).steps(0, 4):
        assert (batch.views.labels == -1).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_images_come_with_the_labels_that_are_known(engine):
    labelled = torch.tensor([1, 4])
    source, other = (loader(steps=[], engine=engine, labelled=labelled, same_images=same) for same in (True, False))
    seen = []
    for batch, independent in zip(source.steps(0, 20), other.steps(0, 20), strict=True):
        index = which(batch.views.images[0])
        assert torch.equal(which(batch.images), index) and torch.equal(batch.views.ids, index)
        assert torch.equal(batch.labels, torch.where(torch.isin(index, labelled), index % 3, -1))
        assert batch.has_labels == bool(torch.isin(index, labelled).any())
        assert independent.has_labels and torch.equal(batch.views.ids, independent.views.ids)
        seen.append(batch.has_labels)
    assert any(seen) and not all(seen), "two labels in 21 images: some batches of 8 have none"


def test_the_same_images_have_random_numbers_of_their_own():
    batch = loader(same_images=True).batch(3)
    assert not torch.equal(batch.images, batch.views.images[0])


def test_labelled_images_are_used_equally_often():
    source = loader(steps=[], num_views=0)
    seen = torch.zeros(21, dtype=torch.long)
    for at in range(13):
        batch = source.batch(at)
        assert batch.views is None
        index = which(batch.images)
        assert len(index) == 8
        assert torch.equal(batch.labels, index % 3)
        seen += index.bincount(minlength=21)
        counts = seen[LABELLED]
        assert counts.sum() == seen.sum() == 8 * (at + 1)
        assert counts.max() - counts.min() <= 1


def test_views_and_repeated_images_have_random_numbers_of_their_own():
    batch = loader().batch(3)
    assert not torch.equal(batch.views.images[0], batch.views.images[1])
    repeated = loader(labelled=torch.tensor([4]), num_views=0).batch(0)
    assert len(repeated.images.unique(dim=0)) == 8


def test_each_stream_is_the_same_with_and_without_the_other():
    both, views, labelled = loader(), loader(images=False), loader(num_views=0)
    for at in (0, 1, 5):
        assert torch.equal(both.batch(at).images, labelled.batch(at).images)
        assert torch.equal(both.batch(at).views.images[1], views.batch(at).views.images[1])
        assert views.batch(at).images is None


@pytest.mark.parametrize("engine", ENGINES)
def test_batches_do_not_depend_on_a_restart_or_the_number_of_workers(engine, monkeypatch):
    monkeypatch.setenv("FKT_WORKERS", "0")
    state = torch.get_rng_state()
    through = list(loader(engine=engine).steps(0, 6))
    assert len(through) == 6
    assert same(loader(engine=engine).batch(4), through[4])
    assert not same(loader(engine=engine, seed=1).batch(4), through[4])
    for workers in ("0", "2"):
        monkeypatch.setenv("FKT_WORKERS", workers)
        resumed = list(loader(engine=engine).steps(3, 6))
        assert all(same(one, other) for one, other in zip(through[3:], resumed, strict=True))
        assert all(view.is_contiguous(memory_format=torch.channels_last) for view in resumed[0].views.images)
        assert list(loader(engine=engine).steps(3, 3)) == []
    assert torch.equal(torch.get_rng_state(), state), "the global generator belongs to the training"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_parts_of_a_batch_together_are_the_batch(engine):
    whole = loader(engine=engine).batch(3)
    parts = list(loader(engine=engine, parts=4).steps(3, 4))
    for name in ("images", "labels"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    for view in range(2):
        assert torch.equal(torch.cat([part.views.images[view] for part in parts]), whole.views.images[view])
    assert torch.equal(torch.cat([part.views.ids for part in parts]), whole.views.ids)
    assert len({part.views.key for part in parts}) == 4, "each part has random numbers of its own"
    assert all(torch.equal(part.step_labels, whole.labels) for part in parts) and whole.step_labels is None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_split_on_disk_gives_the_same_batches(engine):
    held = fake_split(21)
    stored = np.zeros((50, 12, 12, 1), dtype=np.uint8)
    stored[held.ids] = held.images(torch.arange(21)).permute(0, 2, 3, 1).numpy()
    mapped = Split(held.name, held.meta, held.ids, held.labels, stored)
    assert same(loader(mapped, engine=engine).batch(2), loader(held, engine=engine).batch(2))


def test_a_batch_of_views_that_the_images_cannot_fill_is_refused():
    with pytest.raises(ParamsError, match="batch_size: 22 is more than the 21 training images; give at most 21"):
        loader(batch_size=22)
    assert len(loader(batch_size=22, num_views=0).batch(0).images) == 22


def test_a_stream_without_labelled_images_is_refused():
    with pytest.raises(ParamsError, match="no training image is labelled"):
        loader(labelled=NONE)
    loader(labelled=NONE, images=False)


def test_the_number_of_workers_follows_the_cores_or_the_environment(monkeypatch):
    monkeypatch.delenv("FKT_WORKERS", raising=False)
    for cores, expected in ((1, 0), (2, 0), (3, 2), (9, 8), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert num_workers() == expected
    monkeypatch.setenv("FKT_WORKERS", "3")
    assert num_workers() == 3
    monkeypatch.setenv("FKT_WORKERS", "many")
    with pytest.raises(UserError, match="FKT_WORKERS: 'many' is not a whole number from 0"):
        num_workers()


INTERRUPTED = """
from fkt.core.errors import reported
from tests.views.test_loader import loader
if __name__ == "__main__":
    with reported():
        for batch in loader(engine="albumentations").steps(0, 10**6):
            print("going", flush=True)
"""


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.slow
def test_ctrl_c_ends_the_workers_without_tracebacks():
    environment = {**os.environ, "FKT_WORKERS": "2", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout.readline() == "going\n"
    time.sleep(0.3)
    os.killpg(running.pid, signal.SIGINT)  # like a terminal: to every process of the group
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors.startswith("interrupted")
    assert "Traceback" not in errors


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ENGINES)
def test_batches_are_on_the_device_of_the_split(engine, monkeypatch):
    monkeypatch.setenv("FKT_WORKERS", "2")
    held = fake_split(21)
    there = list(loader(held.to("cuda"), engine=engine).steps(0, 3))
    here = list(loader(held, engine=engine).steps(0, 3))
    for one, other in zip(there, here, strict=True):
        assert one.images.is_cuda and one.labels.is_cuda and one.views.labels.is_cuda
        assert all(view.is_cuda for view in one.views.images)
        assert torch.equal(one.labels.cpu(), other.labels)
        for view, expected in zip(one.views.images, other.views.images, strict=True):
            torch.testing.assert_close(view.cpu(), expected, rtol=0, atol=1e-3)


def test_the_noise_of_albumentations_differs_from_step_to_step():
    noise = [step("GaussNoise", std_range=[0.2, 0.2])]
    source = loader(engine="albumentations", steps=noise, batch_size=21, images=False)
    back = [batch.views.images[0][batch.views.ids.argsort()] for batch in (source.batch(0), source.batch(1))]
    assert not torch.equal(*back)
