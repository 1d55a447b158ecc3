"""The table of networks and arms: everything that depends on an arm's name is derived from its row here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """One kind of network that the pipeline trains, once for each seed."""

    name: str
    """Name in ``modes`` of params.yaml, and of the folder under models/."""
    stage: str
    """DVC stage that trains it."""
    about: str
    """What it is, in one sentence for people."""
    start: str | None = None
    """Network that its training starts from, or whose features it learns from."""
    color: str | None = None
    """Color in every figure. None: the network is not an arm."""

    @property
    def section(self) -> str:
        """Section of params.yaml that sets its training, and the file under stages/ that runs it."""
        return self.stage.split("-")[0]

    @property
    def is_arm(self) -> bool:
        """Whether the network ends in a classifier that is compared with the others."""
        return self.color is not None


PRETRAINED, TEACHER, STUDENT = "pretrained", "teacher", "student"
UNTRAINED = "untrained"
"""Name of the results of the initial backbone, which no stage trains."""

# In the order of the report: a difference is the later arm minus the earlier one.
# The colors are those of Okabe and Ito, which color-blind readers tell apart.
NETWORKS = {
    network.name: network
    for network in (
        Network(PRETRAINED, "pretrain", "the backbone after SSL pretraining: not an arm, adds its probes and maps"),
        Network(TEACHER, "pretrain-teacher", "an SSL-pretrained backbone whose features are clustered"),
        Network(STUDENT, "distill", "a fresh backbone that has learned the teacher's clusters", start=TEACHER),
        Network("supervised", "supervised", "labels alone, the control", color="#0072B2"),
        Network("imagenet", "imagenet", "fine-tuning of torchvision's ImageNet weights on the labels", color="#D55E00"),
        Network(
            "frozen",
            "frozen",
            "SSL pretraining, then a linear layer on the frozen backbone (linear evaluation)",
            start=PRETRAINED,
            color="#56B4E9",
        ),
        Network(
            "representational",
            "finetune",
            "SSL pretraining, then fine-tuning on the labels",
            start=PRETRAINED,
            color="#E69F00",
        ),
        Network(
            "distilled",
            "finetune-distilled",
            "SSL pretraining of a teacher, k-means of its features, a fresh backbone that learns the clusters, then "
            "fine-tuning (Jigsaw++, arXiv:1805.00385)",
            start=STUDENT,
            color="#CC79A7",
        ),
        Network("functional", "joint", "labels and SSL together, in one joint run", color="#009E73"),
    )
}
ARMS = tuple(network.name for network in NETWORKS.values() if network.is_arm)
MODES = (PRETRAINED, *ARMS)
"""What ``modes`` in params.yaml may name."""
PALETTE = {network.name: network.color for network in NETWORKS.values() if network.color is not None}

MIN_STEPS = 50
"""Fewest optimizer steps of a training stage whose arm gets a verdict. Runs of 8 to 24 steps, as of the preset smoke,
end near chance on digits; runs of 65 steps do not."""


def chain(name: str) -> list[Network]:
    """Return the networks that are trained for one, in order; the last is the network itself."""
    network = NETWORKS[name]
    return [*(chain(network.start) if network.start else []), network]
