"""params.yaml as frozen, strict models; this package is its only reader."""

from fkt.params.augment import Augment, Foreign, Transform
from fkt.params.balance import GradNormParams, ScheduleParams
from fkt.params.methods import SimCLRParams
from fkt.params.reader import PARAMS_FILE, load_params, parse_params, parse_section
from fkt.params.sections import (
    SSL,
    Arm,
    Budget,
    Cam,
    CrossEntropy,
    Distill,
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
    "Arm",
    "Augment",
    "Budget",
    "Cam",
    "CrossEntropy",
    "Distill",
    "Evaluate",
    "Foreign",
    "GradNormParams",
    "Joint",
    "Labels",
    "Mode",
    "Model",
    "Params",
    "Prepare",
    "Report",
    "ScheduleParams",
    "SimCLRParams",
    "Training",
    "Transfer",
    "Transform",
    "load_params",
    "parse_params",
    "parse_section",
]
