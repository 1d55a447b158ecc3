"""Stage evaluate: score the runs of one mode on the whole test split.

Usage: python -m stages.evaluate MODE, or, for probes of the pretrained backbone on another dataset,
python -m stages.evaluate transfer DATASET
"""

from __future__ import annotations

import argparse
import shutil

import torch
from torch import Tensor

from fkt.core.arms import MODES, PRETRAINED
from fkt.core.errors import CheckpointError, reported
from fkt.core.files import write_json
from fkt.core.hardware import pick_device, setup_torch
from fkt.core.runs import Run, prepared_path, remove_other_seeds, transfer_path, transfer_prepared_path
from fkt.data.store import Split, load_split
from fkt.evaluation.metrics import confusion, scores
from fkt.evaluation.predict import features, logits_of, probabilities_of, untouched, write_predictions
from fkt.evaluation.probes import probe_scores
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import Card, load_backbone, load_classifier
from fkt.params import Evaluate, Params, load_params

SHOWN = ("accuracy", "macro_precision", "macro_recall", "knn_accuracy", "linear_accuracy")


def main(mode: str, params: Params) -> None:
    """Write results and predictions of every seed; the test split is used here and nowhere before."""
    setup_torch()
    device = pick_device()
    train, test = (load_split(prepared_path(params.dataset), name, device) for name in ("train", "test"))
    runs = [Run(params.dataset, mode, seed) for seed in params.seeds]
    remove_other_seeds(runs[0].model.parent, params.seeds)
    shutil.rmtree(runs[0].results.parent, ignore_errors=True)  # of seeds that params.yaml no longer names
    for run in runs:
        results = evaluate(run, train, test, params.evaluate, device)
        write_json(run.results, results)
        shown = ", ".join(f"{name} {results[name]:.4f}" for name in SHOWN if name in results)
        print(f"{mode}, seed {run.seed}: {shown}, on {len(test)} images", flush=True)


def evaluate(run: Run, train: Split, test: Split, params: Evaluate, device: torch.device) -> dict[str, object]:
    """Return the results of one run, and write a classifier's predictions; a bare backbone is probed only."""
    if run.name == PRETRAINED:
        classifier, (backbone, card) = None, load_backbone(run.model, device)
    else:
        classifier, card = load_classifier(run.model, device)
        backbone = classifier.backbone
    if card.classes != test.meta.classes:
        raise CheckpointError(f"{run.model} was trained on {card.dataset} with other classes; run 'dvc repro'")
    num_classes, labels = len(card.classes), test.labels.numpy()
    results, queries = probed(backbone, card, train, test, params, device)
    if classifier is not None:
        probabilities = probabilities_of(logits_of(classifier, queries))
        results |= scores(probabilities, labels, params.calibration_bins)
        results["confusion"] = confusion(labels, probabilities.argmax(axis=1), num_classes).tolist()
        write_predictions(run.predictions, probabilities, labels, test.ids.numpy())
    return results


def probed(
    backbone: ResNet, card: Card, train: Split, test: Split, params: Evaluate, device: torch.device
) -> tuple[dict[str, object], Tensor]:
    """Return the scores of probes of frozen features, and the features of the test images (N, D)."""
    with untouched(backbone):
        bank, queries = (
            features(backbone, split, params.batch_size, device, mean=card.mean, std=card.std)
            for split in (train, test)
        )
        probing = device if device.type == "cuda" else torch.device("cpu")  # the others have no float64
        num_classes = test.meta.num_classes
        found = probe_scores(bank.to(probing), train.labels, queries.to(probing), test.labels, params, num_classes)
    return {"num_test": len(test), **found}, queries


def transfer(dataset: str, params: Params) -> None:
    """Probe the SSL-only backbone of every seed on a dataset that it has not seen, with that one's own splits."""
    setup_torch()
    device = pick_device()
    train, test = (load_split(transfer_prepared_path(dataset), name, device) for name in ("train", "test"))
    remove_other_seeds(Run(params.dataset, PRETRAINED, 0).model.parent, params.seeds)
    shutil.rmtree(transfer_path(dataset, 0).parent, ignore_errors=True)  # of seeds that params.yaml no longer names
    for seed in params.seeds:
        backbone, card = load_backbone(Run(params.dataset, PRETRAINED, seed).model, device)
        if (card.image_size, card.channels) != (test.meta.image_size, test.meta.channels):
            raise CheckpointError(
                f"{transfer_prepared_path(dataset)} has images of another size or number of channels than the network "
                "was trained on; run 'dvc repro'"
            )
        results, _ = probed(backbone, card, train, test, params.evaluate, device)
        write_json(transfer_path(dataset, seed), results)
        shown = ", ".join(f"{name} {results[name]:.4f}" for name in SHOWN if name in results)
        print(f"{PRETRAINED} on {dataset}, seed {seed}: {shown}, on {len(test)} images", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=[*MODES, "transfer"])
    parser.add_argument("dataset", nargs="?")
    arguments = parser.parse_args()
    if (arguments.mode == "transfer") != (arguments.dataset is not None):
        parser.error("a dataset belongs to transfer, and to nothing else")
    with reported():
        if arguments.mode == "transfer":
            transfer(arguments.dataset, load_params())
        else:
            main(arguments.mode, load_params())
