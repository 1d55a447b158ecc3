"""metrics/report.md: the comparison as a page that can be read on its own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fkt.params import Params
from fkt.report import conditions, tables
from fkt.report.arms import Arm
from fkt.report.fusion import fusion_table
from fkt.report.statistics import Comparison, conclusion
from fkt.report.summary import cost, cost_by_stage

CAPTIONS = {
    "accuracy": "Test accuracy of every seed, with mean and standard deviation",
    "curves": "Learning curves over what each arm has spent",
    "confusion": "Confusion matrices",
    "maps": "What the networks look at",
}
"""Names of the figures, without .png, and their captions."""
LINE_WIDTH = 100
"""Characters, on the terminal."""


@dataclass(frozen=True)
class Findings:
    """Everything that the report tells of."""

    params: Params
    meta: dict[str, Any]
    """meta.json of the prepared data."""
    arms: Sequence[Arm]
    pretrained: Sequence[dict[str, Any]]
    """Probe scores of the SSL-only backbones; empty where there are none."""
    clusters: Sequence[dict[str, Any]]
    """Teacher and clusters of the distilled arm's seeds; empty where there is no such arm."""
    comparisons: Sequence[Comparison]
    transfers: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    """Probe scores of the SSL-only backbones on other datasets."""

    @property
    def title(self) -> str:
        """The dataset, the label budget and how losses are weighed: the head of the page and of every figure."""
        params = self.params
        weighed = conditions.lambda_phrase(params.ssl_weight, params.joint)
        joint = f", {weighed}" if "functional" in params.modes else ""
        return f"{params.dataset}, {conditions.labels_phrase(params.labels)}{joint}"

    @property
    def conclusion(self) -> str:
        """What may and may not be concluded."""
        return conclusion(self.comparisons, self.params.report.confidence)


def headline(findings: Findings) -> str:
    """Return the table of the paper and the conclusion: what is printed at the end of a run."""
    conclusion_lines = textwrap.fill(findings.conclusion, LINE_WIDTH, break_long_words=False)
    return f"{findings.title}\n\n{tables.score_table(findings.arms)}\n\n{conclusion_lines}"


def render(findings: Findings) -> str:
    """Return the whole page as Markdown."""
    sections = [
        f"# {findings.title}",
        findings.conclusion,
        _budgets(findings),
        _scores(findings),
        _transfers(findings),
        _differences(findings),
        _fusion(findings),
        _costs(findings),
        _conditions(findings),
        _warnings(findings),
        "## Figures",
        *(f"![{caption}](figures/{name}.png)" for name, caption in CAPTIONS.items()),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _budgets(findings: Findings) -> str:
    """Say where the arms did not spend alike: then a difference is one of compute too."""
    spent = {arm.mode: cost(arm).image_passes for arm in findings.arms}
    least, most = min(spent, key=spent.__getitem__), max(spent, key=spent.__getitem__)
    if spent[most] <= 1.02 * spent[least]:
        return ""
    return (
        f"**The arms did not spend alike**: {most} took {spent[most]:,.0f} image passes and {least} "
        f"{spent[least]:,.0f}, for a section of params.yaml sets epochs. A difference may be one of compute."
    )


def _scores(findings: Findings) -> str:
    arms = findings.arms
    return "\n\n".join(
        [
            "## Test scores",
            tables.score_table(arms),
            f"On all {len(arms[0].labels):,} test images: mean {tables.PLUS_MINUS} sample standard deviation over "
            "seeds (divided by n - 1). Precision and recall are means over classes (macro). Where all classes have "
            "equally many test images, recall is accuracy.",
            tables.other_table(arms, findings.pretrained),
            "F1 is a mean over classes; calibration error is the expected one, and lower is better. Quadratic "
            "kappa weighs a mistake by how many classes it is off, so it means something for ordered classes alone, "
            "such as the grades of aptos. Both probes "
            "classify frozen features, with the labels of all training images: they judge the backbone, not the "
            "classifier.",
        ]
    )


def _transfers(findings: Findings) -> str:
    if not findings.transfers:
        return ""
    return "\n\n".join(
        [
            "## Pretrained features on other datasets",
            tables.transfer_table(findings.transfers),
            f"The backbone of self-supervised pretraining on {findings.params.dataset}, frozen. Both probes are fitted "
            "on the training images of the other dataset, less those held out for validation, and scored on all of its "
            "test images.",
        ]
    )


def _differences(findings: Findings) -> str:
    comparisons, report = findings.comparisons, findings.params.report
    if not comparisons:
        return ""
    return "\n\n".join(
        [
            "## Paired differences",
            tables.difference_table(comparisons, report.confidence),
            f"Paired by seed and by test image. The interval is a bootstrap over both ({report.bootstrap_samples:,} "
            "resamples), each for its own comparison, not widened for the others. p, both: Student's t over images and "
            "seeds, for other images and other seeds; p, images: exact sign-flip test by images, for other images with "
            "these same models; Holm: the p before it, adjusted for the number of comparisons; p, seeds: exact "
            "sign-flip test with a seed as the unit.",
        ]
    )


def _fusion(findings: Findings) -> str:
    table = fusion_table(findings.arms)
    if not table:
        return ""
    return "\n\n".join(
        [
            "## The two losses of the joint run",
            table,
            "First and last row of the learning curve, and the mean of all its rows. The weight of the self-supervised "
            "loss includes lambda. Gradients are those of the losses without their weights, on the backbone, now and "
            "then along the run: a cosine below 0 says that the losses pull apart, one near 0 that a step for "
            "one hardly changes the other.",
        ]
    )


def _costs(findings: Findings) -> str:
    hardware = {arm.mode: cost(arm).hardware for arm in findings.arms}
    settings = sorted({setting for found in hardware.values() for setting in found})
    if len(settings) == 1:
        trained = f"Trained on {settings[0]}."
    else:
        listed = "; ".join(f"{mode} on {' and '.join(found)}" for mode, found in hardware.items())
        trained = f"Trained on different hardware or settings, so seconds do not compare: {listed}."
    several = [arm for arm in findings.arms if len(arm.stages) > 1]
    num_train = sum(findings.meta["counts"]["train"])
    by_stage = "".join(f"\n- {arm.mode}: {_stages(arm, num_train)}" for arm in several)
    pretraining = (
        f"An arm's numbers are those of all its stages, in passes per image (and TFLOPs):\n{by_stage}"
        if several
        else ""
    )
    frozen = " The frozen arm's own go forward alone, and count as one." if "frozen" in hardware else ""
    return "\n\n".join(
        [
            "## Cost of one run",
            tables.cost_table(findings.arms, num_train),
            "Mean over seeds, of training and the validations along it; memory is the largest, of the device on CUDA "
            "and of the process elsewhere. "
            "An image pass is one image forward and backward through the backbone, counted as three forward passes."
            f"{frozen} {trained}",
            *([pretraining] if pretraining else []),
        ]
    )


def _stages(arm: Arm, num_train: int) -> str:
    """Say what each stage of an arm took."""
    return ", ".join(
        f"{stage} {passes / num_train:.1f} ({flops / 1e12:,.3g})"
        for stage, (passes, flops) in cost_by_stage(arm).items()
    )


def _conditions(findings: Findings) -> str:
    params, counts = findings.params, findings.meta["counts"]
    labelled = sum(map(params.labels.count, counts["train"]))
    rows = {
        "Dataset": f"{params.dataset}, {len(findings.meta['classes'])} classes, {findings.meta['image_size']} pixels, "
        f"{sum(counts['train']):,} training, {sum(counts['val']):,} validation and {sum(counts['test']):,} test images",
        "Labels": conditions.labels_sentence(params.labels, counts["train"]),
        "Labels of SSL": conditions.ssl_labels_sentence(params.ssl.label_fraction),
        "Loss of the joint run": conditions.balance_sentence(params.ssl_weight, params.joint),
        "Selection": conditions.selection_sentence(params.selection, labelled, sum(counts["val"])),
        "Budget of an arm": conditions.budget_sentence(params.budget),
        "Seeds": ", ".join(map(str, params.seeds)),
    }
    if "functional" not in params.modes:
        del rows["Loss of the joint run"]
    if not params.ssl.label_fraction:
        del rows["Labels of SSL"]
    if findings.clusters:
        rows["Teacher"] = conditions.teacher_sentence(findings.clusters)
    return "## Conditions\n\n" + "\n".join(f"- **{name}**: {text}" for name, text in rows.items())


def _warnings(findings: Findings) -> str:
    found = [warning for arm in findings.arms for warning in arm.warnings]
    return "## Warnings\n\n" + "\n".join(f"- {warning}" for warning in found) if found else ""
