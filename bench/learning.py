"""``python -m bench.learning [METHOD ...] [-S key=value ...]``: what each SSL method learns without labels.

Pretrains with params.yaml and each ``ssl.method`` in a temporary folder, and scores the frozen features by kNN and a
linear classifier, as well as those of the untrained backbone. The scores are accuracies on validation images, so that
they may be used to choose settings. ``--test`` scores the test images, for settings that are final.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import yaml

from bench.harness import changed_params
from fkt.core.arms import PRETRAINED
from fkt.core.errors import reported
from fkt.core.runs import Run, prepared_path
from fkt.data.store import Split, load_split
from fkt.evaluation.predict import features
from fkt.evaluation.probes import probe_scores
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import load_backbone
from fkt.params import Evaluate
from fkt.raw.prepare import prepare
from fkt.ssl.methods import METHODS
from fkt.training.session import open_session
from stages import pretrain


def probed(backbone: ResNet, train: Split, split: Split, params: Evaluate) -> dict[str, float]:
    """Return the accuracies of both probes on a split."""
    meta = train.meta
    bank, queries = (
        features(backbone, part, params.batch_size, mean=meta.mean, std=meta.std) for part in (train, split)
    )
    return probe_scores(bank, train.labels, queries, split.labels, params, meta.num_classes)


def show(name: str, scores: Sequence[dict[str, float]], seconds: Sequence[float]) -> None:
    """Print the line of a method: mean and standard deviation over the seeds, and the mean seconds of a run."""
    shown = []
    for key in ("knn_accuracy", "linear_accuracy"):
        values = [100 * score[key] for score in scores]
        deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
        shown.append(f"{statistics.mean(values):6.2f} +- {deviation:5.2f}")
    print(f"{name:16} {'   '.join(shown)} {statistics.mean(seconds):8.1f}", flush=True)


def main() -> None:
    """Print a line for the untrained backbone and a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    unlabelled = [name for name in METHODS if name != "supcon"]
    parser.add_argument("methods", nargs="*", default=unlabelled, help="default: all that use no labels")
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    changes = {key: yaml.safe_load(value) for key, value in (item.split("=", 1) for item in arguments.set)}
    every = {name: changed_params({"ssl.method": name, **changes}) for name in arguments.methods}
    params = next(iter(every.values()))
    runs = [Run(params.dataset, PRETRAINED, seed) for seed in params.seeds]
    with tempfile.TemporaryDirectory(prefix="fkt-bench-") as folder, open(os.devnull, "w") as nowhere:
        prepare(params.dataset, params.prepare, Path(folder) / prepared_path(params.dataset))
        os.chdir(folder)
        train, split = (
            load_split(prepared_path(params.dataset), name) for name in ("train", "test" if arguments.test else "val")
        )
        print(f"{split.name} images: {len(split)}; training images: {len(train)}; seeds: {params.seeds}")
        print("method           kNN, %             linear, %       seconds a run")
        backbones = [open_session(params, run).fresh_backbone() for run in runs]
        show("untrained", [probed(backbone, train, split, params.evaluate) for backbone in backbones], [0.0])
        for name, settings in every.items():
            scores, seconds = [], []
            for run in runs:
                start = time.perf_counter()
                with redirect_stdout(nowhere):
                    pretrain.main(run, settings)
                seconds.append(time.perf_counter() - start)
                scores.append(probed(load_backbone(run.model)[0], train, split, settings.evaluate))
            show(name, scores, seconds)


if __name__ == "__main__":
    with reported():
        main()
