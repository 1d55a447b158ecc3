"""Stage evaluate: score all seeds of one mode on the whole test split.

Usage: python -m stages.evaluate MODE. MODE untrained probes the initial backbone, which every arm starts from.
Or: python -m stages.evaluate transfer DATASET, which probes the pretrained backbone on another dataset.
"""

import argparse
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import confusion_matrix

from fkt.core.arms import MODES, PRETRAINED, UNTRAINED
from fkt.core.errors import CheckpointError, enough_memory, reported
from fkt.core.files import write_arrays, write_json
from fkt.core.hardware import pick_device, set_threads, setup_torch
from fkt.core.runs import Run, prepared_path, remove_other_seeds, stage_item, transfer_path, transfer_prepared_path
from fkt.core.seals import seal
from fkt.data.meta import Meta
from fkt.data.store import load_split
from fkt.evaluation.metrics import scores
from fkt.evaluation.predict import features, predict
from fkt.evaluation.probes import probe
from fkt.models.backbones import ResNet
from fkt.models.checkpoint import check_card, load_model
from fkt.models.classifier import Classifier
from fkt.models.flops import image_flops
from fkt.models.initial import initial_backbone
from fkt.params import Params, load_params

SHOWN = ("accuracy", "macro_precision", "macro_recall", "knn_accuracy", "linear_accuracy")


def main(mode: str, params: Params, dataset: str | None = None) -> None:
    """Write the results and the predictions of every seed. Nothing before this stage opens the test split.

    dataset: one of transfer.datasets, whose own splits the probes then use. The images of the validation split choose
    between the candidates of evaluate.linear_l2.
    """
    setup_torch()
    device, settings = pick_device(), params.evaluate
    prepared = transfer_prepared_path(dataset) if dataset else prepared_path(params.dataset)
    train, test = (load_split(prepared, name, device) for name in ("train", "test"))
    val = load_split(prepared, "val", device) if len(settings.linear_l2) > 1 else None
    runs = [Run(params.dataset, mode, seed) for seed in params.seeds]
    paths = [transfer_path(dataset, run.seed) if dataset else run.results for run in runs]
    remove_other_seeds(runs[0].model.parent, params.seeds)
    shutil.rmtree(paths[0].parent, ignore_errors=True)  # results of seeds that params.yaml no longer names
    for run, path in zip(runs, paths, strict=True):
        model, mean, std = _model(run, params, test.meta, prepared, device, other_classes=dataset is not None)
        backbone = model.backbone if isinstance(model, Classifier) else model
        set_threads(image_flops(backbone, test.meta.channels, test.meta.image_size) * settings.batch_size)
        embed = partial(features, backbone, batch_size=settings.batch_size, mean=mean, std=std)
        bank, queries = (embed(split) for split in (train, test))
        validation = None if val is None else (embed(val), val.labels)
        probes = probe((bank, train.labels), queries, validation, settings, test.meta.num_classes)
        results: dict[str, Any] = {"num_test": len(test)} | probes.scores(test.labels)
        labels = test.labels.numpy()
        arrays = {"labels": labels, "ids": test.ids.numpy()}
        arrays |= {"knn": probes.knn.cpu().numpy(), "linear": probes.linear.cpu().numpy()}
        if mode == UNTRAINED:
            results["weights"] = params.model.weights
        if isinstance(model, Classifier):
            probabilities = predict(model, queries)
            results |= scores(probabilities, labels, settings.calibration_bins, ordered=params.prepare.ordered)
            counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(test.meta.num_classes))
            results["confusion"] = counts.tolist()  # rows: actual class; columns: predicted class
            arrays["probabilities"] = probabilities
        write_arrays(path.with_suffix(".npz"), arrays)
        write_json(path, results)
        shown = ", ".join(f"{name} {results[name]:.4f}" for name in SHOWN if name in results)
        where = f"{mode} on {dataset}" if dataset else mode
        print(f"{where}, seed {run.seed}: {shown}, on {len(test)} images", flush=True)
    seal(paths[0].parent)


def _model(
    run: Run, params: Params, meta: Meta, prepared: Path, device: torch.device, *, other_classes: bool
) -> tuple[Classifier | ResNet, list[float], list[float]]:
    """Return the network of a run, and the mean and std that its images are normalized with."""
    if run.name == UNTRAINED:
        return initial_backbone(params.model, meta.channels, run.seed).to(device), meta.mean, meta.std
    model, card = load_model(run.model, device)
    check_card(card, run, params)
    classes = card.classes if other_classes else meta.classes
    if (card.image_size, card.channels, card.classes) != (meta.image_size, meta.channels, classes):
        raise CheckpointError(
            f"{run.model} was trained with another image size, number of channels or classes than {prepared} has; "
            "run 'dvc repro'"
        )
    return model, card.mean, card.std


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=[*MODES, UNTRAINED, "transfer"], nargs="?", default=stage_item())
    parser.add_argument("dataset", nargs="?")
    arguments = parser.parse_args()
    if arguments.mode == "transfer" and arguments.dataset is None:
        arguments.dataset = stage_item()
    if arguments.mode is None or (arguments.mode == "transfer") != (arguments.dataset is not None):
        parser.error("give a mode, and a dataset after 'transfer', and only there")
    with reported():
        chosen = load_params()
        with enough_memory("evaluate", f"evaluate.batch_size (now {chosen.evaluate.batch_size})"):
            main(PRETRAINED if arguments.dataset else arguments.mode, chosen, arguments.dataset)
