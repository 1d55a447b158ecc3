"""The sections of params.yaml: every wrong value a hand can write, and the one line that answers it."""

import pytest
import yaml

from fkt.core.errors import ParamsError
from fkt.params import Foreign, load_params, parse_params
from fkt.params.reader import parse_yaml
from tests.params.mistakes import NOWHERE, ROOT, SHIPPED, complaint, edited, with_text


def test_params_yaml_as_shipped_is_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.dataset == "digits"
    assert params.ssl_weight > 0


NO_LABELS = "ssl: method: {} uses labels with its settings, but label_fraction is 0.0; increase label_fraction, or set "
SUPCON = NO_LABELS.format("supcon") + "method: simclr, which is SupCon without labels"
KEEP = NO_LABELS.format("simclr") + "simclr.false_negatives: keep"
UNUSED = (
    "ssl: label_fraction: 0.3 gives labels to method: simclr, which does not use labels with its settings; set "
    "label_fraction: 0.0, false_negatives: eliminate (simclr, moco), or method: supcon"
)
NUMBERS = [
    ("lambda", -1, "lambda: -1 is out of range; give at least 0"),
    ("lambda", -0.5, "lambda: -0.5 is out of range; give at least 0"),
    ("lambda", "abc", "lambda: 'abc' is text; give a number"),
    ("lambda", "", "lambda: '' is text; give a number"),
    ("lambda", "0.5", "lambda: '0.5' is text; write 0.5 without quotes"),
    ("lambda", None, "lambda: empty; give a number"),
    ("lambda", True, "lambda: True is true/false; give a number"),
    ("lambda", [1.0], "lambda: [1.0] is a list; give a number"),
    ("lambda", {"a": 1}, "lambda: {'a': 1} is a section; give a number"),
    ("lambda", float("nan"), "lambda: nan is not finite; give a number"),
    ("lambda", float("inf"), "lambda: inf is not finite; give a number"),
    ("pretrain.momentum", float("nan"), "pretrain.momentum: nan is not finite; give a number"),
    ("augment.views.0.scale", [0.4, float("inf")], "augment.views[0].scale[1]: inf is not finite; give a number"),
    ("ssl.simclr.temperature", 0.0, "ssl.simclr.temperature: 0.0 is out of range; give more than 0"),
    ("prepare.val_fraction", 1.0, "prepare.val_fraction: 1.0 is out of range; give less than 1"),
    ("joint.momentum", 1.5, "joint.momentum: 1.5 is out of range; give at most 1"),
    ("model.width", 16.5, "model.width: 16.5 is a fraction; give a whole number"),
    ("model.width", 16.0, "model.width: 16.0 is a fraction; write 16"),
    ("model.width", True, "model.width: True is true/false; give a whole number"),
    ("labels.per_class", True, "labels.per_class: True is true/false; give a whole number"),
    ("labels.per_class", "1e1", "labels.per_class: '1e1' is text; write 10 (YAML"),
    ("prepare.channels", True, "prepare.channels: True is true/false; give a whole number"),
    ("prepare.channels", 3.0, "prepare.channels: 3.0 is a fraction; write 3"),
    ("prepare.source", "", "prepare.source: '': is blank; write a path, or leave the key without a value"),
    ("prepare.source", "a\x1b[31m", "has control characters, or a name in it is too long"),
    ("prepare.table", "t.csv", "prepare.table: t.csv is for dataset: folder, but the dataset is digits"),
    ("prepare.groups", "patient", "prepare.groups: 'patient': write parent_folder, column:NAME or pattern:REGEX"),
    ("prepare.groups", "pattern:p", "the pattern has 0 capturing groups; put one pair of parentheses around"),
    ("prepare.groups", "pattern:(", "the pattern is not a regular expression (missing )"),
    ("prepare.groups", "column:case", "groups: column:case names a column of a table; set prepare.table"),
    ("lambda", 1e300, "lambda: 1e+300 is out of range; give at most 1000000"),
    ("evaluate.calibration_bins", 10**21, "is out of range; give at most 1000"),
    ("prepare.image_size", 4, "prepare.image_size: 4 is out of range; give at least 8"),
    ("pretrain.batch_size", 1, "pretrain.batch_size: 1 is out of range; give at least 2"),
    ("joint.gradient_checks", -1, "joint.gradient_checks: -1 is out of range; give at least 0"),
    ("joint.schedule.warmup_fraction", 1.0, "joint.schedule.warmup_fraction: 1.0 is out of range; give less than 1"),
    ("joint.gradnorm.alpha", -0.5, "joint.gradnorm.alpha: -0.5 is out of range; give at least 0"),
    ("joint.gradnorm.learning_rate", 0.0, "joint.gradnorm.learning_rate: 0.0 is out of range; give more than 0"),
    (
        "report.contrasts",
        ["a - b"],
        "report.contrasts[0]: 'a - b': write two different arms as 'functional - supervised'",
    ),
    ("distill.clusters", 1, "distill.clusters: 1 is out of range; give at least 2"),
    ("distill.teacher_width", 8, "distill.teacher_width: 8 is out of range; give at least 16"),
    ("distill.teacher_share", 1.0, "distill.teacher_share: 1.0 is out of range; give less than 1"),
    ("distill.n_init", 0, "distill.n_init: 0 is out of range; give at least 1"),
]
CHOICES = [
    ("dataset", None, "dataset: empty; give text, in quotes"),
    ("model.backbone", "resnet-18", "choose from: resnet10, resnet18, resnet34, resnet50; did you mean 'resnet18'?"),
    ("joint.optimizer", "adam", "joint.optimizer: unknown value 'adam'; choose from: sgd, adamw, lars; did you mean"),
    ("joint.balance", "grad_norm", "choose from: fixed, schedule, uncertainty, gradnorm; did you mean 'gradnorm'?"),
    ("joint.schedule.curve", "cos", "joint.schedule.curve: unknown value 'cos'; choose from: constant, linear, cosine"),
    (
        "modes",
        ["supervised", "functionl"],
        "modes[1]: unknown value 'functionl'; choose from: pretrained, ",
    ),
    ("prepare.channels", 2, "prepare.channels: unknown value 2; choose from: 1, 3"),
    ("distill.teacher", "resnet9", "distill.teacher: unknown value 'resnet9'; choose from: resnet10, resnet18, "),
    ("augment.engine", "kornia", "augment.engine: unknown value 'kornia'; choose from: batched, albumentations"),
    ("augment.views.1.name", "Afine", "augment: views[1]: unknown transform of engine: batched 'Afine'"),
    ("augment.views.1.name", "Afine", "unknown transform of engine: batched 'Afine'; choose from: Affine, "),
    ("augment.views.1.name", "Afine", "; did you mean 'Affine'?"),
]
LISTS = [
    ("seeds", 3, "seeds: 3 is a whole number; give a list: each item on its own line, after '- '"),
    ("seeds", None, "seeds: empty; give a list: "),
    ("seeds", [], "seeds: []: the list is empty; name at least one"),
    ("seeds", [0, 1, 0], "seeds: [0, 1, 0]: 0 appears more than once; name each once"),
    ("seeds", [0, -1], "seeds[1]: -1 is out of range; give at least 0"),
    ("seeds", [0, "a"], "seeds[1]: 'a' is text; give a whole number"),
    ("seeds", [0, True], "seeds[1]: True is true/false; give a whole number"),
    ("modes", [], "modes: []: the list is empty; name at least one"),
    ("modes", ["functional", "functional"], "functional appears more than once; name each once"),
    (
        "modes",
        ["pretrained"],
        "modes: ['pretrained']: trains no classifier; add at least one arm: supervised, ",
    ),
    ("augment.views.0.scale", [1.0, 0.4], "augment.views[0]: scale is [1.0, 0.4]; give the smaller number first"),
    ("augment.views.0.scale", [0.4], "augment.views[0].scale: [0.4] is not a range; give two numbers, the smaller one"),
    ("augment.views.0.scale", [0.1, 0.4, 1.0], "is not a range; give two numbers, the smaller one first"),
    ("augment.views.0.scale", 0.4, "augment.views[0].scale: 0.4 is a fraction; give a list"),
]
SHAPES = [
    ("lambda", NOWHERE, "lambda: missing; add it (the file in git has every key)"),
    ("ssl", NOWHERE, "ssl: missing; add it"),
    ("ssl.simclr", NOWHERE, "ssl.simclr: missing; add it"),
    ("ssl.uniformity", {"size": 64}, "ssl.uniformity: unknown key; remove it, or choose from: method, "),
    ("ssl.method", "simcrl", "ssl.method: unknown value 'simcrl'; choose from: simclr, "),
    ("ssl.method", "simcrl", "; did you mean 'simclr'?"),
    ("lamda", 0.5, "lamda: unknown key; did you mean 'lambda'?"),
    ("tag", "x", "tag: unknown key; remove it, or choose from: dataset, lambda, seeds, "),
    ("joint.learning_rat", 0.1, "joint.learning_rat: unknown key; did you mean 'learning_rate'?"),
    ("ssl.simclr.temprature", 0.1, "ssl.simclr.temprature: unknown key; did you mean 'temperature'?"),
    ("augment.views.0.scal", [0.1, 1.0], "augment.views[0].scal: unknown key; did you mean 'scale'?"),
    ("augment.views.0.p", NOWHERE, "augment.views[0].p: missing; add it"),
    ("labels", 5, "labels: 5 is a whole number; give a section: its keys on the lines below, indented"),
    ("labels", None, "labels: empty; give a section: "),
    ("transfer.datasets", ["usps", "usps"], "transfer.datasets: ['usps', 'usps']: usps appears more than once"),
    ("labels.fraction", 0.1, "labels: per_class and fraction are both set; leave one of them empty"),
    ("prepare.download", "yes", "prepare.download: 'yes' is text; give true or false"),
    ("prepare.source", 5, "prepare.source: 5 is a whole number; give text, in quotes"),
    ("ssl.label_fraction", 1.5, "ssl.label_fraction: 1.5 is out of range; give at most 1"),
    ("ssl.label_fraction", 0.3, UNUSED),
    ("ssl.method", "supcon", SUPCON),
    ("ssl.simclr.false_negatives", "eliminate", KEEP),
    ("augment.object_share", -0.5, "augment.object_share: -0.5 is out of range; give at least 0"),
    ("model.weights", "imagenet", "model: weights: imagenet exists for resnet18, resnet34 and resnet50; choose one"),
]


@pytest.mark.parametrize(("key", "value", "message"), NUMBERS + CHOICES + LISTS + SHAPES)
def test_a_wrong_value_is_answered_with_key_value_and_remedy(key: str, value: object, message: str) -> None:
    said = complaint(edited(key, value))
    assert message in said
    assert said.startswith(f"params.yaml: {key.split('.')[0]}")
    assert said.count("\n") == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomGridShuffle", {"grid": [3, 2]}),
        ("CLAHE", {"tile_grid_size": [8, 4]}),
        ("Normalize", {"mean": [None, 2]}),
    ],
)
def test_pairs_of_transforms_outside_the_vocabulary_are_no_ranges(name: str, arguments: dict[str, list[int]]) -> None:
    assert Foreign(name=name, p=0.5, **arguments).arguments() == {
        "p": 0.5,
        **{key: tuple(value) for key, value in arguments.items()},
    }


@pytest.mark.parametrize("method", ["supcon", "simclr", "moco"])
def test_labels_for_a_method_that_uses_them_are_fine(method: str) -> None:
    content = yaml.safe_load(SHIPPED)
    content["ssl"] |= {"method": method, "label_fraction": 0.5}
    if method != "supcon":
        content["ssl"][method]["false_negatives"] = "eliminate"
        content["ssl"]["label_fraction"] = 1
    assert parse_params(content).ssl.label_fraction > 0


def test_rotation_cannot_be_added_to_rotation() -> None:
    content = yaml.safe_load(SHIPPED)
    content["ssl"] |= {"method": "rotation", "rotation_weight": 0.2}
    said = complaint(yaml.safe_dump(content))
    assert "ssl: rotation_weight adds rotation prediction to a method, but method: rotation already is" in said


def test_crops_are_judged_only_where_there_are_masks() -> None:
    said = complaint(edited("augment.object_share", 0.5))
    assert "augment.object_share: 0.5 needs masks of the training images; set prepare.masks: saliency" in said
    content = yaml.safe_load(edited("augment.object_share", 0.5))
    content["prepare"]["masks"] = "saliency"
    assert parse_params(content).augment.object_share == 0.5


@pytest.mark.parametrize(
    ("engine", "order", "message"),
    [
        ("albumentations", (0, 1, 2), "0.5 works only with engine: batched, not engine: albumentations; set"),
        ("batched", (1, 0, 2), "0.5 needs views that start with their only RandomResizedCrop"),
        ("batched", (0, 0, 1), "needs views that start with their only RandomResizedCrop"),
        ("batched", (1, 2), "needs views that start with their only RandomResizedCrop"),
        ("batched", (), "needs views that start with their only RandomResizedCrop"),
    ],
)
def test_crops_that_cannot_be_judged_are_refused(engine: str, order: tuple[int, ...], message: str) -> None:
    content = yaml.safe_load(edited("augment.object_share", 0.5))
    content["prepare"]["masks"] = "saliency"
    steps = content["augment"]["views"]
    content["augment"] |= {"engine": engine, "views": [steps[number] for number in order]}
    said = complaint(yaml.safe_dump(content))
    assert said.startswith("params.yaml: augment: object_share: ") and message in said and "\n" not in said
    content["augment"]["object_share"] = 0.0
    parse_params(content)


def test_a_method_that_is_not_chosen_may_be_set_to_eliminate_without_labels() -> None:
    assert (
        parse_params(parse_yaml(edited("ssl.moco.false_negatives", "eliminate"), "params.yaml")).ssl.method == "simclr"
    )


def test_the_training_dataset_is_refused_as_a_target_of_transfer() -> None:
    said = complaint(edited("transfer.datasets", ["usps", "digits"]))
    assert said.endswith("transfer.datasets: 'digits' is the training dataset; name others, or none: []")


def test_a_misspelled_key_is_named_before_the_one_that_is_missing_for_it() -> None:
    assert complaint(with_text("lamda: 1.0")).split("\n") == [
        "params.yaml: lamda: unknown key; did you mean 'lambda'?",
        "       params.yaml: lambda: missing; add it (the file in git has every key)",
    ]


def test_sections_are_immutable() -> None:
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.joint.epochs = 3


def test_imagenet_weights_must_exist_for_a_teacher_that_is_trained() -> None:
    content = yaml.safe_load(SHIPPED)
    content["model"] |= {"backbone": "resnet18", "width": 64, "stem": "imagenet", "weights": "imagenet"}
    content["prepare"]["channels"] = 3
    content["distill"] |= {"teacher": "resnet34", "teacher_width": 32}
    assert parse_params(content).teacher.weights == "imagenet"
    content["modes"] = ["supervised", "distilled"]
    with pytest.raises(ParamsError, match=r"applies to the teacher too; set .* distill.teacher_width: 64"):
        parse_params(content)
    content["distill"]["teacher_width"] = 64
    assert parse_params(content).teacher.width == 64
