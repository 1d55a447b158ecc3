"""Sizes that are auto: published ones at the published scale, small ones at the default, in proportion in presets."""

import inspect
import itertools
from typing import Any

import pytest
from lightly.models.modules import heads
from pydantic import ValidationError

from fkt.core.errors import ParamsError
from fkt.models.backbones import ResNet, build_backbone
from fkt.params import Model, Params, load_params, parse_params
from fkt.params.base import Section
from fkt.params.methods import SECTIONS, ProjectorParams
from fkt.params.presets import laid
from fkt.params.reader import parse_yaml
from fkt.params.sizes import resolve, sizes_of
from tests.conftest import ROOT
from tests.params.mistakes import complaint, edited

SHIPPED = load_params(ROOT / "params.yaml")
CIFAR, IMAGENET, TRIBYOL = (512, 50_000, 10), (2048, 1_281_167, 1000), (2048, 50_000, 10)
"""(features, training images, classes) of ResNet-18 on CIFAR-10, ResNet-50 on ImageNet and ResNet-50 on CIFAR-10."""
DEFAULT = (128, 1151, 10)

# What a paper or its authors' code says of a scale, or solo-learn's and lightly's benchmarks of ResNet-18 on CIFAR-10.
PUBLISHED: list[tuple[tuple[int, int, int], str, dict[str, float]]] = [
    (CIFAR, "simclr", {"projector_hidden": 512, "projector_size": 128}),  # lightly
    (IMAGENET, "simclr", {"projector_hidden": 2048, "projector_size": 128}),  # arXiv:2002.05709
    (IMAGENET, "supcon", {"projector_hidden": 2048, "projector_size": 128}),  # arXiv:2004.11362
    (CIFAR, "moco", {"projector_size": 128, "queue_size": 4096}),  # the authors' CIFAR-10 demo
    (IMAGENET, "moco", {"projector_hidden": 2048, "projector_size": 128, "queue_size": 65536}),  # arXiv:2003.04297
    (CIFAR, "byol", {"projector_hidden": 1024, "projector_size": 256, "predictor_hidden": 1024}),  # lightly
    (IMAGENET, "byol", {"projector_hidden": 4096, "projector_size": 256, "predictor_hidden": 4096}),  # arXiv:2006.07733
    (TRIBYOL, "tribyol", {"projector_hidden": 512, "projector_size": 128, "predictor_hidden": 512}),  # arXiv:2206.03012
    (CIFAR, "simsiam", {"projector_hidden": 2048, "projector_size": 2048, "predictor_hidden": 512}),  # lightly
    (IMAGENET, "simsiam", {"projector_hidden": 2048, "projector_size": 2048, "predictor_hidden": 512}),  # 2011.10566
    (CIFAR, "swav", {"projector_hidden": 512, "projector_size": 128, "prototypes": 512}),  # lightly
    (IMAGENET, "swav", {"projector_hidden": 2048, "projector_size": 128, "prototypes": 3000}),  # arXiv:2006.09882
    (CIFAR, "barlow_twins", {"projector_hidden": 2048, "projector_size": 2048, "redundancy_weight": 0.0051}),  # solo
    (IMAGENET, "barlow_twins", {"projector_hidden": 8192, "projector_size": 8192, "redundancy_weight": 0.0051}),
    (CIFAR, "vicreg", {"projector_hidden": 2048, "projector_size": 2048}),  # solo-learn
    (IMAGENET, "vicreg", {"projector_hidden": 8192, "projector_size": 8192}),  # arXiv:2105.04906
    (IMAGENET, "pirl_jigsaw", {"embedding_size": 128, "num_negatives": 32000}),  # VISSL
    (IMAGENET, "pirl_rotation", {"embedding_size": 128, "num_negatives": 32000}),
    (IMAGENET, "jigsaw_pp", {"tile_embedding": 1024, "hidden": 4096}),  # the authors' network, of 2304 features
]
SMALL: dict[str, dict[str, float]] = {
    "simclr": {"projector_hidden": 128, "projector_size": 64},
    "supcon": {"projector_hidden": 128, "projector_size": 64},
    "moco": {"projector_hidden": 128, "projector_size": 64, "queue_size": 1024},
    "byol": {"projector_hidden": 512, "projector_size": 128, "predictor_hidden": 512},
    "cross": {"projector_hidden": 512, "projector_size": 128, "predictor_hidden": 512},
    "tribyol": {"projector_hidden": 512, "projector_size": 128, "predictor_hidden": 512},
    "simsiam": {"projector_hidden": 128, "projector_size": 128, "predictor_hidden": 32},
    "swav": {"projector_hidden": 256, "projector_size": 128, "prototypes": 256, "queue_size": 0},
    "barlow_twins": {
        "projector_hidden": 256,
        "projector_size": 256,
        "redundancy_weight": 0.01,
        "loss_scale": 0.0125,
    },
    "vicreg": {"projector_hidden": 256, "projector_size": 256},
    "pirl_jigsaw": {"embedding_size": 64, "num_negatives": 512},
    "pirl_rotation": {"embedding_size": 64, "num_negatives": 512},
    "rotation": {"hidden": 128},
    "jigsaw_pp": {"tile_embedding": 64, "hidden": 256},
}
IMAGES = {"digits": (1151, 10), "cifar10": (45_000, 10), "aptos": (2344, 5), "intel": (12_631, 6), "folder": (1000, 4)}
"""Training images and classes of each preset's dataset. Of ``folder`` they are an example."""
FOLLOW_THE_NETWORK = ("hidden", "size", "tile_embedding")


def sized(name: str, scale: tuple[int, int, int], params: Params = SHIPPED) -> Any:
    return resolve(getattr(params.ssl, name), *scale)


def features_of(model: Model) -> int:
    backbone: ResNet = build_backbone(model, 3)
    return backbone.feature_size


@pytest.mark.parametrize(("scale", "name", "expected"), PUBLISHED, ids=[f"{row[1]}-{row[0][0]}" for row in PUBLISHED])
def test_the_published_sizes_come_out_at_the_published_scale(
    scale: tuple[int, int, int], name: str, expected: dict[str, float]
) -> None:
    found = sizes_of(sized(name, scale))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", SECTIONS)
def test_the_default_has_small_sizes(name: str) -> None:
    assert sizes_of(sized(name, DEFAULT)) == pytest.approx(SMALL[name])
    assert resolve(SHIPPED.ssl, *DEFAULT).rotation_hidden == 128


@pytest.mark.parametrize("overlays", [[], ["laptop"], ["paper"], ["smoke"], ["paper", "smoke"]])
@pytest.mark.parametrize("dataset", IMAGES)
def test_no_preset_runs_a_method_at_the_scale_of_another(
    dataset: str, overlays: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A size is within a factor of 2 of the published one, or of its ratio to the features, or between the two.

    If there is a published size for the same number of features, it alone counts.
    """
    monkeypatch.chdir(ROOT)
    params = parse_params(parse_yaml(laid([dataset, *overlays]), "params.yaml"))
    images, classes = IMAGES[dataset]
    images = min(images, classes * (params.prepare.limit_per_class or images))
    features = features_of(params.model)
    for name in SECTIONS:
        section = sized(name, (features, images, classes), params)
        found = sizes_of(section)
        rows = [row for row in PUBLISHED if row[1] == ("byol" if name == "cross" else name)]
        assert rows or name == "rotation"
        rows = [row for row in rows if row[0][0] == features] or rows
        for key in {key for row in rows for key in row[2] if key.endswith(FOLLOW_THE_NETWORK) and key != "queue_size"}:
            pairs = [(row[2][key], row[2][key] * features / row[0][0]) for row in rows if key in row[2]]
            assert any(min(pair) / 2 <= found[key] <= max(pair) * 2 for pair in pairs), (name, key, found[key], pairs)
        if name == "moco":
            assert images / 3 < found["queue_size"] < images or 4096 <= found["queue_size"] < images
        if name == "swav":
            assert min(50 * classes, images / 8) <= found["prototypes"] <= images / 4
        if name == "barlow_twins":
            assert found["loss_scale"] * section.projector_size == pytest.approx(3.2)


@pytest.mark.parametrize("name", SECTIONS)
def test_any_scale_gives_numbers_that_the_section_accepts(name: str) -> None:
    for scale in itertools.product((128, 192, 2048), (2, 9, 1151, 1_281_167), (2, 1000)):
        every = SHIPPED.ssl.swav.model_copy(update={"queue_size": "auto"}) if name == "swav" else None
        section = resolve(every or getattr(SHIPPED.ssl, name), *scale)
        again = SECTIONS[name].model_validate(section.model_dump())
        assert again == section and "auto" not in section.model_dump().values()


def test_a_number_stays_and_sizes_that_depend_on_it_follow_it() -> None:
    def given(name: str, **numbers: float) -> dict[str, float]:
        section = getattr(SHIPPED.ssl, name).model_copy(update=numbers)
        return sizes_of(resolve(section, *CIFAR))

    assert given("simsiam", projector_size=100) == {
        "projector_hidden": 2048,
        "projector_size": 100,
        "predictor_hidden": 25,
    }
    weights = given("barlow_twins", projector_size=128)
    assert (weights["redundancy_weight"], weights["loss_scale"]) == (0.02, 0.025)
    assert given("barlow_twins", projector_size=128, loss_scale=1.0)["loss_scale"] == 1.0
    assert given("swav", prototypes=3000, queue_size="auto")["queue_size"] == 3840  # type: ignore[arg-type]


def test_a_size_without_a_rule_is_refused() -> None:
    class Unknown(ProjectorParams):
        """A new method."""

    with pytest.raises(ParamsError, match="projector_hidden: auto has no rule for Unknown; give a number"):
        resolve(Unknown.model_validate({"projector_hidden": "auto", "projector_size": 8}), *CIFAR)
    given = Unknown(projector_hidden=16, projector_size=8)
    assert resolve(given, *CIFAR) == given


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("moco.queue_size", "big", "ssl.moco.queue_size: 'big' is text; give a whole number or auto"),
        ("moco.queue_size", None, "ssl.moco.queue_size: empty; give a whole number or auto"),
        ("moco.queue_size", True, "ssl.moco.queue_size: True is true/false; give a whole number or auto"),
        ("moco.queue_size", "1e3", "ssl.moco.queue_size: '1e3' is text; write 1000 (YAML"),
        ("moco.queue_size", 16.0, "ssl.moco.queue_size: 16.0 is a fraction; write 16"),
        ("moco.queue_size", 0, "ssl.moco.queue_size: 0 is out of range; give at least 1"),
        ("rotation_hidden", [64], "ssl.rotation_hidden: [64] is a list; give a whole number or auto"),
        ("barlow_twins.loss_scale", "Auto", "ssl.barlow_twins.loss_scale: 'Auto' is text; give a number or auto"),
        ("barlow_twins.loss_scale", 0.0, "ssl.barlow_twins.loss_scale: 0.0 is out of range; give more than 0"),
        ("simclr.temperature", "auto", "ssl.simclr.temperature: 'auto' is text; give a number"),
    ],
)
def test_what_is_neither_a_number_nor_auto_is_refused(key: str, value: object, message: str) -> None:
    assert complaint(edited(f"ssl.{key}", value)).startswith(f"params.yaml: {message}")


def accepts_auto(section: Section, key: str) -> bool:
    try:
        type(section).model_validate(section.model_dump() | {key: "auto"})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", SECTIONS)
def test_each_key_that_may_be_auto_has_a_rule_and_no_other_key(name: str) -> None:
    section = sized(name, DEFAULT)
    assert [key for key in type(section).model_fields if accepts_auto(section, key)] == list(sizes_of(section))


@pytest.mark.parametrize("name", ["SimCLR", "MoCo", "BYOL", "SimSiam", "SwaV", "BarlowTwins", "VICReg"])
def test_sizes_for_resnet50_are_the_defaults_of_lightly(name: str) -> None:
    def defaults(kind: str) -> dict[str, int]:
        found = inspect.signature(getattr(heads, f"{name}{kind}Head").__init__).parameters.values()
        return {one.name: one.default for one in found}

    found = sizes_of(sized({"BarlowTwins": "barlow_twins"}.get(name, name.lower()), IMAGENET))
    projection = defaults("Projection")
    assert projection["input_dim"] == IMAGENET[0]
    assert (found["projector_hidden"], found["projector_size"]) == (projection["hidden_dim"], projection["output_dim"])
    if "predictor_hidden" in found:
        assert found["predictor_hidden"] == defaults("Prediction")["hidden_dim"]
