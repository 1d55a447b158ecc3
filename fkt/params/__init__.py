"""params.yaml as frozen, strict models; this package is its only reader."""

from fkt.params.augment import Augment, Foreign, Transform
from fkt.params.methods import SimCLRParams
from fkt.params.reader import PARAMS_FILE, load_params, parse_params
from fkt.params.sections import (
    SSL,
    Budget,
    Cam,
    CrossEntropy,
    Evaluate,
    Joint,
    Labels,
    Mode,
    Model,
    Params,
    Prepare,
    Report,
    Training,
    Transfer,
)

__all__ = [
    "PARAMS_FILE",
    "SSL",
    "Augment",
    "Budget",
    "Cam",
    "CrossEntropy",
    "Evaluate",
    "Foreign",
    "Joint",
    "Labels",
    "Mode",
    "Model",
    "Params",
    "Prepare",
    "Report",
    "SimCLRParams",
    "Training",
    "Transfer",
    "Transform",
    "load_params",
    "parse_params",
]
