"""ImageNet weights for the backbone; never a silent default."""

from urllib.error import URLError

from fkt.core.errors import CheckpointError
from fkt.models.backbones import ResNet


def load_imagenet(backbone: ResNet, name: str) -> None:
    """Load torchvision's ImageNet-1k weights (first release) into a backbone of width 64 with the ImageNet stem.

    torchvision downloads them once and checks their hash. Raises CheckpointError if they cannot be downloaded.
    """
    from torchvision import models

    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        state = dict(weights.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise CheckpointError(
            f"model.weights: imagenet needs {weights.url}, which could not be downloaded ({error}); download it on a "
            "machine with network into ~/.cache/torch/hub/checkpoints, or set model.weights: none"
        ) from error
    backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
