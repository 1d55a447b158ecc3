"""Activation maps against torchcam, closed forms, and networks whose answer is known by construction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchcam.methods import CAM, GradCAM, LayerCAM

from fkt.data.store import Meta, Split
from fkt.errors import ParamsError
from fkt.evaluation.cam import cam, choose_layer, eigencam, gradcam, layercam, map_sides
from fkt.evaluation.maps import backbone_maps, choose_candidates, classifier_maps, save_maps
from fkt.models.backbones import BACKBONES, ResNet
from fkt.models.checkpoint import Card, save_model
from fkt.models.classifier import Classifier
from fkt.params import Cam

FAMILY = {"cam": (cam, CAM), "gradcam": (gradcam, GradCAM), "layercam": (layercam, LayerCAM)}


def _classifier(stem: str = "small", num_classes: int = 5) -> Classifier:
    torch.manual_seed(0)
    backbone = ResNet(BACKBONES["resnet10"], channels=3, width=16, stem=stem)  # type: ignore[arg-type]
    classifier = Classifier(backbone, num_classes)
    nn.init.normal_(classifier.head.weight)  # small initial weights would hide a wrong class
    return classifier.eval()


@pytest.fixture
def classifier() -> Classifier:
    return _classifier()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("cam", "layer4"), ("gradcam", "layer2"), ("gradcam", "layer4"), ("layercam", "layer2"), ("layercam", "layer4")],
)
def test_maps_agree_with_torchcam(classifier: Classifier, images: Tensor, name: str, layer: str) -> None:
    ours, theirs = FAMILY[name]
    target = torch.tensor([0, 3, 1, 4])
    module = classifier.backbone.get_submodule(layer)
    arguments = {"fc_layer": "head"} if name == "cam" else {}
    with theirs(classifier, f"backbone.{layer}", input_shape=(3, 32, 32), **arguments) as extractor:
        logits = classifier(images)
        coarse = extractor(target.tolist(), logits, normalized=False)[0].detach().relu()
    expected = nn.functional.interpolate(coarse.unsqueeze(1), (32, 32), mode="bilinear", align_corners=False).squeeze(1)
    expected = expected / expected.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    torch.testing.assert_close(ours(classifier, images, target, module), expected, atol=1e-5, rtol=1e-4)


def test_gradcam_at_the_last_layer_is_cam(classifier: Classifier, images: Tensor) -> None:
    target = torch.tensor([2, 2, 0, 1])
    layer = classifier.backbone.layer4
    torch.testing.assert_close(
        gradcam(classifier, images, target, layer), cam(classifier, images, target, layer), atol=1e-5, rtol=1e-4
    )


def test_the_sum_of_cam_is_the_logit(classifier: Classifier, images: Tensor) -> None:
    """The closed form behind CAM, read off a map without negative evidence."""
    classifier.head.weight.data.abs_()
    target = torch.tensor([0, 1, 2, 3])
    logits = classifier(images).gather(1, target[:, None])[:, 0] - classifier.head.bias[target]
    features = classifier.backbone.feature_map(images)
    evidence = torch.einsum("bdhw,bd->bhw", features, classifier.head.weight[target])
    torch.testing.assert_close(evidence.mean(dim=(1, 2)), logits)
    upsampled = nn.functional.interpolate(evidence[:, None], (32, 32), mode="bilinear")[:, 0]
    expected = upsampled / upsampled.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(cam(classifier, images, target, classifier.backbone.layer4), expected)


@pytest.mark.parametrize("name", list(FAMILY))
def test_maps_need_no_trainable_parameter_and_no_gradient_mode(
    classifier: Classifier, images: Tensor, name: str
) -> None:
    draw, target, layer = FAMILY[name][0], torch.tensor([0, 1, 2, 3]), classifier.backbone.layer4
    expected = draw(classifier, images, target, layer)
    classifier.requires_grad_(False)
    for context in (torch.no_grad(), torch.enable_grad(), torch.inference_mode()):
        with context:
            fresh = images + 0  # inside inference_mode this is an inference tensor
            drawn = draw(classifier, fresh, target, layer)
        torch.testing.assert_close(drawn, expected)
        assert not drawn.requires_grad


@pytest.mark.parametrize("name", [*FAMILY, "eigencam"])
def test_maps_leave_the_model_as_it_was(classifier: Classifier, images: Tensor, name: str) -> None:
    state = {key: value.clone() for key, value in classifier.state_dict().items()}
    before = classifier(images)
    if name == "eigencam":
        eigencam(classifier.backbone, images, classifier.backbone.layer3)
    else:
        FAMILY[name][0](classifier, images, torch.zeros(4, dtype=torch.int64), classifier.backbone.layer4)
    assert all(not module._forward_hooks and not module._backward_hooks for module in classifier.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    assert torch.equal(classifier(images), before)
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_hooks_go_even_if_the_model_fails(classifier: Classifier) -> None:
    with pytest.raises(RuntimeError):
        gradcam(classifier, torch.zeros(1, 7, 32, 32), torch.tensor([0]), classifier.backbone.layer4)
    assert not classifier.backbone.layer4._forward_hooks


@pytest.mark.parametrize("name", list(FAMILY))
def test_maps_are_finite_shares_of_the_largest_evidence(classifier: Classifier, images: Tensor, name: str) -> None:
    drawn = FAMILY[name][0](classifier, images, torch.tensor([0, 1, 2, 3]), classifier.backbone.layer4)
    assert drawn.shape == (4, 32, 32) and drawn.dtype == torch.float32
    assert drawn.min() >= 0 and torch.equal(drawn.amax(dim=(1, 2)), torch.ones(4))


@pytest.mark.parametrize("name", list(FAMILY))
def test_a_map_without_positive_evidence_is_zero(classifier: Classifier, images: Tensor, name: str) -> None:
    classifier.head.weight.data.abs_().neg_()
    drawn = FAMILY[name][0](classifier, images, torch.tensor([0, 1, 2, 3]), classifier.backbone.layer4)
    assert torch.equal(drawn, torch.zeros(4, 32, 32))


def test_cam_refuses_a_layer_that_does_not_feed_the_head(classifier: Classifier, images: Tensor) -> None:
    with pytest.raises(ValueError, match="32 channels, the head takes 128"):
        cam(classifier, images, torch.zeros(4, dtype=torch.int64), classifier.backbone.layer2)


def test_a_model_in_training_mode_is_refused(classifier: Classifier, images: Tensor) -> None:
    with pytest.raises(ValueError, match="training mode"):
        layercam(classifier.train(), images, torch.zeros(4, dtype=torch.int64), classifier.backbone.layer4)


class _Brightness(nn.Module):
    """A backbone by hand: its layers pass brightness (channel 0) and darkness (channel 1) on."""

    feature_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(1, 2, 1)
        self.layer1.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.layer1.bias.data = torch.tensor([0.0, 1.0])
        self.layer2, self.layer3, self.layer4 = nn.AvgPool2d(2), nn.Identity(), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        return features.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("cam", "layer4"),
        *((name, layer) for name in ("gradcam", "layercam", "eigencam") for layer in ("layer1", "layer4")),
    ],
)
def test_maps_find_a_planted_bright_square(name: str, layer: str) -> None:
    classifier = Classifier(_Brightness(), 2).eval()  # type: ignore[arg-type]
    classifier.head.weight.data = torch.eye(2)  # class 0 is "bright"
    images = torch.zeros(1, 1, 32, 32)
    images[0, 0, 4:12, 16:28] = 1.0
    module = classifier.backbone.get_submodule(layer)
    if name == "eigencam":
        classifier.backbone.layer1.weight.data[1] = 0.0  # type: ignore[union-attr, operator, index]
        classifier.backbone.layer1.bias.data[1] = 0.0  # type: ignore[union-attr, operator, index]
        drawn = eigencam(classifier.backbone, images, module)
    else:
        drawn = FAMILY[name][0](classifier, images, torch.tensor([0]), module)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[4:12, 16:28] = True
    assert drawn[0][inside].min() > 0.5
    assert drawn[0][~inside].max() < 0.5
    assert drawn[0, 8, 20] == 1.0 and drawn[0, 30, 3] == 0.0


def test_eigencam_is_the_first_right_singular_vector(classifier: Classifier, images: Tensor) -> None:
    layer = classifier.backbone.layer3
    features = {}
    handle = layer.register_forward_hook(lambda _m, _i, output: features.update(a=output.detach().double().numpy()))
    classifier(images)
    handle.remove()
    for number, drawn in enumerate(eigencam(classifier.backbone, images, layer)):
        matrix = features["a"][number].reshape(features["a"].shape[1], -1)
        _, vectors = np.linalg.eigh(matrix.T @ matrix)  # ascending: the last one is the first component
        component = vectors[:, -1] * np.sign(vectors[:, -1].sum())
        component -= component.min()
        side = features["a"].shape[2]
        resized = nn.functional.interpolate(
            torch.from_numpy(component).view(1, 1, side, side), (32, 32), mode="bilinear", align_corners=False
        )[0, 0]
        torch.testing.assert_close(drawn.double(), resized / resized.max(), atol=1e-5, rtol=1e-4)


def test_eigencam_of_a_constant_or_empty_map_is_zero(classifier: Classifier) -> None:
    backbone = classifier.backbone
    backbone.layer1 = nn.Sequential()  # the stem alone: a constant image has constant features inside its border
    nn.init.zeros_(backbone.conv1.weight)
    for bias in (0.0, 0.7):
        nn.init.constant_(backbone.bn1.bias, bias)
        drawn = eigencam(backbone, torch.ones(2, 3, 32, 32), backbone.layer1)
        assert torch.equal(drawn, torch.zeros(2, 32, 32))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("auto", ("gradcam", "layer2")),
        ("cam", ("cam", "layer4")),
        ("gradcam", ("gradcam", "layer2")),
        ("layercam", ("layercam", "layer2")),
        ("eigencam", ("eigencam", "layer2")),
    ],
)
def test_maps_are_drawn_from_the_deepest_layer_that_is_fine_enough(method: str, expected: tuple[str, str]) -> None:
    sides = {"layer1": 16, "layer2": 8, "layer3": 4, "layer4": 2}
    assert choose_layer(method, sides, min_positions=8) == expected
    assert choose_layer("auto", sides, min_positions=2) == ("cam", "layer4")


def test_no_layer_fine_enough_is_an_error_with_the_remedy() -> None:
    sides = map_sides(_classifier("imagenet").backbone, torch.zeros(1, 3, 16, 16))
    assert sides == {"layer1": 4, "layer2": 2, "layer3": 1, "layer4": 1}
    with pytest.raises(ParamsError, match=r"cam\.min_positions: 8 .*layer1 has 4.*lower it to 4 or less"):
        choose_layer("auto", sides, min_positions=8)


def test_candidates_span_the_classes_and_grow_at_the_end() -> None:
    labels = torch.arange(200) % 3
    labels[:150] = 0
    few, many = choose_candidates(labels, 12), choose_candidates(labels, 60)
    assert torch.equal(torch.bincount(labels[few]), torch.tensor([4, 4, 4]))
    assert torch.equal(many[:12], few)
    counts = torch.bincount(labels[many])
    assert counts[1] == (labels == 1).sum() and counts[2] == (labels == 2).sum() and counts.sum() == 60
    assert len(many.unique()) == 60 and len(choose_candidates(labels, 1000)) == 200


CARD = Card("supervised", 0, "fake", list("abcde"), 32, 3, [0.5] * 3, [0.25] * 3, {})


def _split() -> Split:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(0, 256, (40, 32, 32, 3), generator=generator, dtype=torch.uint8)
    meta = Meta("fake", list("abcde"), 32, 3, {}, [9.0] * 3, [9.0] * 3)  # the card's numbers are those to use
    return Split("test", meta, torch.arange(100, 140), torch.arange(40) % 5, rows)


def test_stored_maps_are_those_of_each_image_alone(classifier: Classifier, tmp_path: Path) -> None:
    split, positions = _split(), torch.arange(39, 4, -1)
    settings = Cam(images=2, candidates=35, method="gradcam", min_positions=4, target="true")
    save_maps(tmp_path / "a.npz", split, positions, classifier_maps(classifier, CARD, split, positions, settings))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    assert arrays["ids"].tolist() == [100 + int(position) for position in positions]
    assert (str(arrays["method"]), str(arrays["layer"]), int(arrays["side"])) == ("gradcam", "layer4", 4)
    for row in (0, 17, 34):
        position = int(positions[row])
        image = split._images[position]
        assert isinstance(image, Tensor) and (arrays["images"][row] == image.numpy()).all()
        network = (image.permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.25
        probabilities = classifier(network).softmax(dim=1)[0]
        assert arrays["predicted"][row] == probabilities.argmax()
        assert arrays["confidence"][row] == pytest.approx(float(probabilities.detach().max()), rel=1e-5)
        truth = split.labels[position : position + 1]
        alone = gradcam(classifier, network, truth, classifier.backbone.layer4)[0]
        np.testing.assert_allclose(arrays["maps"][row], alone.numpy(), atol=6e-5)


def test_stored_maps_have_the_same_bytes_twice(classifier: Classifier, tmp_path: Path) -> None:
    split, settings = _split(), Cam(images=2, candidates=9, method="auto", min_positions=8, target="predicted")
    positions = choose_candidates(split.labels, settings.candidates)
    for name in ("a.npz", "b.npz"):
        save_maps(tmp_path / name, split, positions, classifier_maps(classifier, CARD, split, positions, settings))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    save_maps(
        tmp_path / "c.npz", split, positions, backbone_maps(classifier.backbone, CARD, split, positions, settings)
    )
    with np.load(tmp_path / "c.npz", allow_pickle=False) as stored:
        assert "predicted" not in stored.files and str(stored["method"]) == "eigencam"


def test_the_stage_writes_the_maps_of_a_mode_and_of_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fkt.data.store import write_meta
    from fkt.params import load_params
    from fkt.runs import PRETRAINED, Run, maps_path
    from stages.cam import main

    params = load_params(Path(__file__).parents[2] / "params.yaml")
    params = params.model_copy(update={"cam": params.cam.model_copy(update={"candidates": 7, "method": "auto"})})
    monkeypatch.chdir(tmp_path)
    prepared = Run(params.dataset, "supervised", params.seeds[0]).prepared
    write_meta(prepared, Meta(params.dataset, list("abc"), 16, 1, {}, [0.4], [0.2]))
    np.save(prepared / "images.npy", np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), dtype=np.uint8))
    np.save(prepared / "labels.npy", np.arange(30) % 3)
    np.save(prepared / "test.npy", np.arange(10, 30))
    backbone = ResNet(BACKBONES["resnet10"], channels=1, width=16, stem="small")
    model = params.model.model_copy(update={"backbone": "resnet10", "width": 16, "stem": "small"}).model_dump()
    for mode, module in (("supervised", Classifier(backbone, 3)), (PRETRAINED, backbone)):
        run = Run(params.dataset, mode, params.seeds[0])
        card = Card(mode, run.seed, params.dataset, list("abc"), 16, 1, [0.4], [0.2], json.loads(json.dumps(model)))
        save_model(run.model, module, card)
        main(mode, 0, params)
    with np.load(maps_path("supervised")) as ours, np.load(maps_path(PRETRAINED)) as theirs:
        assert (ours["ids"] == theirs["ids"]).all() and (ours["images"] == theirs["images"]).all()
        assert ours["maps"].shape == theirs["maps"].shape == (7, 16, 16)
        assert set(ours.files) - set(theirs.files) == {"predicted", "confidence", "target"}
