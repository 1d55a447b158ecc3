"""``python -m bench.learning [METHOD ...] [-S key=value ...]``: what each SSL method learns without labels.

Pretrains with params.yaml and each ``ssl.method`` in a temporary folder, and scores the frozen features by kNN and a
linear classifier, as well as those of the untrained backbone. The scores are accuracies on validation images, so that
they may be used to choose settings. The penalty of the linear classifier is chosen on these images too, for each
backbone. ``--test`` scores the test images, for settings that are final. The intervals have a level of 95 %.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.harness import changed_params
from fkt.core.arms import PRETRAINED
from fkt.core.errors import reported
from fkt.core.runs import Run, prepared_path
from fkt.data.store import Split, load_split
from fkt.evaluation.predict import features
from fkt.evaluation.probes import probe
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import load_backbone
from fkt.params import Evaluate
from fkt.raw.prepare import prepare
from fkt.report.statistics import Level, compare
from fkt.ssl.methods import METHODS
from fkt.training.session import open_session
from stages import pretrain

Right = NDArray[np.bool_]
"""(N,) whether a prediction is right."""
PROBES = ("knn", "linear")


def probed(backbone: ResNet, splits: Sequence[Split], params: Evaluate) -> dict[str, Right]:
    """Return whether each probe is right for each image of the last of the splits train, val and the scored one."""
    train, val, scored = splits
    bank, validation, queries = (
        features(backbone, part, params.batch_size, mean=train.meta.mean, std=train.meta.std) for part in splits
    )
    probes = probe((bank, train.labels), queries, (validation, val.labels), params, train.meta.num_classes)
    return {name: (getattr(probes, name).cpu() == scored.labels).numpy() for name in PROBES}


def show(
    name: str, right: Sequence[dict[str, Right]], untrained: Sequence[dict[str, Right]], seconds: Sequence[float]
) -> None:
    """Print the line of a method: for each probe, the mean and standard deviation over the seeds and the interval of
    the difference to the untrained backbone of the same seed, all in percent; and the mean seconds of a run."""
    shown = []
    for key in PROBES:
        ours, theirs = (np.stack([scores[key] for scores in runs]) for runs in (right, untrained))
        values = 100 * ours.mean(axis=1)
        deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
        found = compare(name, "untrained", ours.astype(float), theirs.astype(float), Level(0.95))
        interval = f"{100 * found.low:+6.2f} to {100 * found.high:+6.2f}" if right is not untrained else ""
        shown.append(f"{values.mean():6.2f} +- {deviation:5.2f}  {interval:16}")
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
        train, val = (load_split(prepared_path(params.dataset), name) for name in ("train", "val"))
        split = load_split(prepared_path(params.dataset), "test") if arguments.test else val
        print(f"{split.name} images: {len(split)}; training images: {len(train)}; seeds: {params.seeds}")
        header = f"{'{}, %':16} {'minus untrained':17}"
        print(f"{'method':16} {header.format('kNN')} {header.format('linear')} seconds a run")
        initial = [open_session(params, run).fresh_backbone() for run in runs]
        untrained = [probed(backbone, (train, val, split), params.evaluate) for backbone in initial]
        show("untrained", untrained, untrained, [0.0])
        for name, settings in every.items():
            right, seconds = [], []
            for run in runs:
                start = time.perf_counter()
                with redirect_stdout(nowhere):
                    pretrain.main(run, settings)
                seconds.append(time.perf_counter() - start)
                right.append(probed(load_backbone(run.model)[0], (train, val, split), settings.evaluate))
            show(name, right, untrained, seconds)


if __name__ == "__main__":
    with reported():
        main()
