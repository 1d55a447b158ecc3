"""params.yaml as frozen, strict models; this package is its only reader."""

from fkt.params.augment import Augment, Foreign, Transform
from fkt.params.methods import SimCLRParams
from fkt.params.params import Params
from fkt.params.reader import PARAMS_FILE, load_params, parse_params
from fkt.params.sections import Budget, Cam, Evaluate, Fit, Labels, Model, Prepare, Report, Transfer
from fkt.params.ssl import SSL
from fkt.params.training import CrossEntropy, Distill, GradNormParams, ImageNet, Joint, ScheduleParams, Training
from fkt.params.tuning import Tuned, tuned_trials

__all__ = [
    "PARAMS_FILE",
    "SSL",
    "Augment",
    "Budget",
    "Cam",
    "CrossEntropy",
    "Distill",
    "Evaluate",
    "Fit",
    "Foreign",
    "GradNormParams",
    "ImageNet",
    "Joint",
    "Labels",
    "Model",
    "Params",
    "Prepare",
    "Report",
    "ScheduleParams",
    "SimCLRParams",
    "Training",
    "Transfer",
    "Transform",
    "Tuned",
    "load_params",
    "parse_params",
    "tuned_trials",
]
