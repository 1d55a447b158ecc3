"""``python -m bench.learning [METHOD ...] [-S key=value ...]``: what each SSL method learns, without labels.

Pretrains with params.yaml as it stands but for ``ssl.method``, in a temporary folder, and probes the frozen features
with kNN and a linear classifier, beside those of the untrained backbone. The probes are scored on validation images,
so that settings may be chosen by it; ``--test`` scores the test images, once they are chosen. The time is a run's own.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import yaml

from fkt.core.arms import PRETRAINED
from fkt.core.errors import reported
from fkt.core.runs import Run, prepared_path
from fkt.data.store import Split, load_split
from fkt.evaluation.predict import features
from fkt.evaluation.probes import probe_scores
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import load_backbone
from fkt.params import PARAMS_FILE, Params, parse_params
from fkt.params.reader import read_yaml
from fkt.raw.datasets import source_folder
from fkt.ssl.methods import METHODS
from fkt.training.session import open_session
from stages import prepare, pretrain


def changed(content: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return params with changes such as ``ssl.byol.tau=0.9`` made to them."""
    content = copy.deepcopy(content)
    for change in changes:
        keys, value = change.split("=", 1)
        *path, last = keys.split(".")
        section = content
        for key in path:
            section = section[key]
        section[last] = yaml.safe_load(value)
    return content


def found_from_anywhere(params: Params) -> Params:
    """Return the params with the whole path of the raw images, which are listed from another folder."""
    if params.dataset == "digits":
        return params
    source = source_folder(params.dataset, params.prepare.source).absolute()
    return params.model_copy(update={"prepare": params.prepare.model_copy(update={"source": str(source)})})


@contextmanager
def silent() -> Iterator[None]:
    """Keep what the stages print to themselves."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def probed(backbone: ResNet, params: Params, split: Split, train: Split) -> dict[str, float]:
    """Return the accuracies of both probes on a split."""
    mean, std = train.meta.mean, train.meta.std
    bank, queries = (
        features(backbone, one, params.evaluate.batch_size, train.device, mean=mean, std=std) for one in (train, split)
    )
    return probe_scores(bank, train.labels, queries, split.labels, params.evaluate, train.meta.num_classes)


def show(name: str, scores: Sequence[dict[str, float]], seconds: Sequence[float]) -> None:
    """Print a method's line."""
    shown = []
    for key in ("knn_accuracy", "linear_accuracy"):
        values = [100 * score[key] for score in scores]
        deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
        shown.append(f"{statistics.mean(values):6.2f} +- {deviation:5.2f}")
    print(f"{name:16} {'   '.join(shown)} {statistics.mean(seconds):8.1f}", flush=True)


def main() -> None:
    """Print a line for the untrained backbone and one for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "methods",
        nargs="*",
        default=[name for name in METHODS if name != "supcon"],
        help="by default all that learn without labels",
    )
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    content = read_yaml(PARAMS_FILE)
    assert isinstance(content, dict)
    every = {
        name: found_from_anywhere(parse_params(changed(content, [f"ssl.method={name}", *arguments.set])))
        for name in arguments.methods
    }
    params = next(iter(every.values()))
    with tempfile.TemporaryDirectory(prefix="fkt-bench-") as folder:
        os.chdir(folder)
        with silent():
            prepare.main(params)
        train, split = (load_split(prepared_path(params.dataset), name) for name in ("train", "val"))
        if arguments.test:
            split = load_split(prepared_path(params.dataset), "test")
        print(f"{split.name} images: {len(split)}; training images: {len(train)}; seeds: {params.seeds}")
        print("method           kNN, %             linear, %       seconds a run")
        sessions = [open_session(params, Run(params.dataset, PRETRAINED, seed)) for seed in params.seeds]
        show("untrained", [probed(one.fresh_backbone(), params, split, train) for one in sessions], [0.0])
        for name, changes in every.items():
            scores, seconds = [], []
            for seed in params.seeds:
                start = time.perf_counter()
                with silent():
                    pretrain.main(Run(params.dataset, PRETRAINED, seed), changes)
                seconds.append(time.perf_counter() - start)
                backbone, _ = load_backbone(Run(params.dataset, PRETRAINED, seed).model)
                scores.append(probed(backbone, params, split, train))
            show(name, scores, seconds)


if __name__ == "__main__":
    with reported():
        main()
