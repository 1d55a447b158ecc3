"""Stage imagenet: cross-entropy from ImageNet weights, with the budget of the supervised arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params


def main(run: Run, params: Params) -> None:
    """Train the network with ImageNet weights, and a new linear layer, on the labelled images."""
    from fkt.core.files import file_digest
    from fkt.models.imagenet import load_imagenet
    from fkt.training.loaders import labelled_loader
    from fkt.training.objectives import Supervised
    from fkt.training.record import Start
    from fkt.training.session import open_session

    session = open_session(params, run)
    classifier, source = session.fresh_classifier(), params.imagenet.source
    load_imagenet(classifier.backbone, params.model.backbone, Path(source) if source else None)
    length = session.labelled_length()
    objective = Supervised(classifier, session.cross_entropy())
    start = Start(weights=file_digest(Path(source)) if source else None)
    session.train(objective, labelled_loader(session, length.passes_per_step), length, start)


if __name__ == "__main__":
    training_stage("imagenet", main)
