"""What was compared, as titles and sentences for report.md and the page. Code is in backquotes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fkt.core.files import one_line
from fkt.params import Params, tuned_trials
from fkt.params.sections import Labels

_BATCHNORM = {"as_trained": "as trained", "recalibrated": "estimated anew on plain training images"}
_CURVES = {
    "constant": "stays 1",
    "linear": "falls from 1 to 0 along a line",
    "cosine": "falls from 1 to 0 along a cosine",
}


def title(params: Params) -> str:
    """Return one line that names the experiment."""
    words = [dataset_name(params), label_budget(params.labels)]
    if "functional" in params.arms:
        balance = "" if params.joint.balance == "fixed" else f" ({params.joint.balance})"
        words.append(f"lambda {params.ssl_weight:g}{balance}")
    return ", ".join(words)


def dataset_name(params: Params) -> str:
    """Return the name of the dataset; for one's own images that of their folder."""
    source = params.prepare.source
    own = Path(source).name if params.dataset == "folder" and source is not None else ""
    return one_line(own) or params.dataset


def label_budget(labels: Labels) -> str:
    """Return how many labels there are."""
    if labels.per_class is not None:
        return f"{labels.per_class} label{'' if labels.per_class == 1 else 's'} per class"
    return "all labels" if labels.fraction is None else f"{100 * labels.fraction:g} % of the labels"


def conditions(
    params: Params, images: Mapping[str, int], num_labelled: int, teacher: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """Return what held in every arm. images: number of images of each split. teacher: see ``page.content``."""
    model, rotation = params.model, params.ssl.rotation_weight
    extra = f", and rotation prediction with weight {rotation:g}" if rotation else ""
    weights = ", ImageNet weights" if model.weights == "imagenet" else ""
    labelled = f"{label_budget(params.labels)}: {num_labelled:,} of {images['train']:,} training images"
    if num_labelled < images["train"]:
        labelled += ", which differ between seeds, but not between arms"
    found = [
        ("Network", f"{model.backbone}, width {model.width}, {model.stem} stem{weights}."),
        ("Labels", f"{labelled}."),
        ("SSL method", f"{params.ssl.method}{extra}."),
    ]
    if params.ssl.label_fraction:
        share = f"{100 * params.ssl.label_fraction:g} % of the labels of each class"
        found.append(("Labels of SSL", f"{share}, in pretraining and in the joint run."))
    if "functional" in params.arms:
        found.append(("Loss of the joint run", _loss(params)))
    found += [
        ("Budget of an arm", _budget(params)),
        ("Weights that are kept", _selection(params, num_labelled, images["val"])),
        ("Settings", _settings(params)),
        ("BatchNorm", f"statistics {_BATCHNORM[params.bn]}."),
        ("Seeds", ", ".join(map(str, params.seeds))),
    ]
    if teacher:
        text = (
            f"{teacher['backbone']} with {teacher['width']} channels. Its features of the training images form "
            f"{teacher['clusters']} clusters, of which {teacher['used']:g} have images. Evenness of their sizes: "
            f"{teacher['entropy']:.2f} (entropy; 1 means equal sizes)."
        )
        found.append(("Teacher", text))
    return found


def _loss(params: Params) -> str:
    joint, weight = params.joint, f"lambda = {params.ssl_weight:g}"
    if joint.balance == "fixed":
        return f"cross-entropy + {params.ssl_weight:g} * self-supervised loss ({weight})."
    if joint.balance == "schedule":
        rise = f"rises from 0 to 1 over the first {100 * joint.schedule.warmup_fraction:g} % of the run, then "
        return (
            f"cross-entropy + lambda * share * self-supervised loss ({weight}). The share "
            f"{rise if joint.schedule.warmup_fraction else ''}{_CURVES[joint.schedule.curve]}."
        )
    if joint.balance == "uncertainty":
        return (
            f"cross-entropy / v + log(v) / 2 + lambda * (self-supervised loss / w + log(w) / 2) ({weight}). The "
            "variances v and w are learned (arXiv:1705.07115)."
        )
    return (
        f"c * cross-entropy + lambda * s * self-supervised loss ({weight}). The weights c + s = 2 are learned by "
        f"GradNorm (arXiv:1711.02257, alpha {joint.gradnorm.alpha:g})."
    )


def _budget(params: Params) -> str:
    budget = params.budget
    unit = {"flops": ", counted in FLOPs", "labelled_steps": " for the training on labels; pretraining comes on top"}
    if budget.unit == "epochs":
        spent = f"each training sees its images {budget.epochs:g} times"
    else:
        spent = f"{budget.passes:g} image passes per training image{unit.get(budget.unit, '')}"
    return (
        f"{spent} (`budget.unit: {budget.unit}`), unless a section of params.yaml sets `epochs`. An arm with "
        f"pretraining uses {100 * budget.pretrain_share:g} % of them before it sees labels."
    )


def _selection(params: Params, num_labelled: int, num_val: int) -> str:
    last = params.selection == "last" or (params.selection == "auto" and num_labelled < num_val)
    kept = (
        "those of the last step. Validation images are scored, but select nothing."
        if last
        else "those with the best accuracy on the validation images. No run is trained on these images."
    )
    if params.selection != "auto":
        return kept
    return (
        f"{kept} `selection: auto` chose this because there are {'fewer' if last else 'not fewer'} labelled images "
        f"({num_labelled:,}) than validation images ({num_val:,})."
    )


def _settings(params: Params) -> str:
    trials = {mode: tuned_trials(params, mode) for mode in params.arms}
    words = [f"{mode} {f'from {count} trials' if count else 'untuned'}" for mode, count in trials.items()]
    return f"{'; '.join(words)}. `fkt tune` gives every arm the same number of trials on validation images."
