"""Stage evaluate: score all seeds of one mode on the whole test split.

Usage: python -m stages.evaluate MODE, or python -m stages.evaluate transfer DATASET, which probes the pretrained
backbone on another dataset.
"""

import argparse
import shutil
from typing import Any

from sklearn.metrics import confusion_matrix

from fkt.core.arms import MODES, PRETRAINED
from fkt.core.errors import CheckpointError, reported
from fkt.core.files import write_json
from fkt.core.hardware import pick_device, set_threads, setup_torch
from fkt.core.runs import Run, prepared_path, remove_other_seeds, transfer_path, transfer_prepared_path
from fkt.data.store import load_split
from fkt.evaluation.metrics import scores
from fkt.evaluation.predict import features, predict, write_predictions
from fkt.evaluation.probes import probe_scores
from fkt.models.checkpoint import load_model
from fkt.models.classifier import Classifier
from fkt.models.flops import image_flops
from fkt.params import Params, load_params

SHOWN = ("accuracy", "macro_precision", "macro_recall", "knn_accuracy", "linear_accuracy")


def main(mode: str, params: Params, dataset: str | None = None) -> None:
    """Write the results and the predictions of every seed. Nothing before this stage opens the test split.

    dataset: one of transfer.datasets, whose own training and test splits the probes then use.
    """
    setup_torch()
    device, settings = pick_device(), params.evaluate
    prepared = transfer_prepared_path(dataset) if dataset else prepared_path(params.dataset)
    train, test = (load_split(prepared, name, device) for name in ("train", "test"))
    runs = [Run(params.dataset, mode, seed) for seed in params.seeds]
    paths = [transfer_path(dataset, run.seed) if dataset else run.results for run in runs]
    remove_other_seeds(runs[0].model.parent, params.seeds)
    shutil.rmtree(paths[0].parent, ignore_errors=True)  # results of seeds that params.yaml no longer names
    for run, path in zip(runs, paths, strict=True):
        model, card = load_model(run.model, device)
        classes = card.classes if dataset else test.meta.classes
        if (card.image_size, card.channels, card.classes) != (test.meta.image_size, test.meta.channels, classes):
            raise CheckpointError(
                f"{run.model} was trained with another image size, number of channels or classes than {prepared} has; "
                "run 'dvc repro'"
            )
        backbone = model.backbone if isinstance(model, Classifier) else model
        set_threads(image_flops(backbone, card.channels, card.image_size) * settings.batch_size)
        bank, queries = (
            features(backbone, split, settings.batch_size, mean=card.mean, std=card.std) for split in (train, test)
        )
        results: dict[str, Any] = {"num_test": len(test)}
        results |= probe_scores(bank, train.labels, queries, test.labels, settings, test.meta.num_classes)
        if isinstance(model, Classifier):
            probabilities, labels = predict(model, queries), test.labels.numpy()
            results |= scores(probabilities, labels, settings.calibration_bins)
            counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(len(classes)))
            results["confusion"] = counts.tolist()  # rows: actual class; columns: predicted class
            write_predictions(run.predictions, probabilities, labels, test.ids.numpy())
        write_json(path, results)
        shown = ", ".join(f"{name} {results[name]:.4f}" for name in SHOWN if name in results)
        where = f"{mode} on {dataset}" if dataset else mode
        print(f"{where}, seed {run.seed}: {shown}, on {len(test)} images", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=[*MODES, "transfer"])
    parser.add_argument("dataset", nargs="?")
    arguments = parser.parse_args()
    if (arguments.mode == "transfer") != (arguments.dataset is not None):
        parser.error("give a dataset after 'transfer', and only there")
    with reported():
        main(PRETRAINED if arguments.dataset else arguments.mode, load_params(), arguments.dataset)
