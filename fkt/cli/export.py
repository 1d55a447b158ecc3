"""Write a trained model for others: ONNX, torch.export, safetensors, and a model card (README.md).

MODEL is the folder of one seed (models/functional/s0), or of an arm (models/functional), whose seeds predict together.
Without it, the arm that the report has chosen is used. Needs the packages onnx, onnxruntime and onnxscript.
"""

import argparse
from pathlib import Path

HELP = "write a trained model as ONNX, with a model card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="the folder of the model")
    parser.add_argument("--output", type=Path, default=Path("export"), metavar="FOLDER", help="output folder (export)")
    parser.add_argument("--license", default="unknown", metavar="NAME", help="license in the model card (unknown)")


def run(arguments: argparse.Namespace) -> None:
    """Write the files, and print how far their logits are from torch's."""
    from fkt.evaluation.trained import load_trained
    from fkt.publish.export import export

    model = load_trained(arguments.model, "cpu")
    print(f"model: {model}", flush=True)
    for name, difference in export(model, arguments.output, arguments.license).items():
        print(f"{arguments.output / name}: largest difference of a logit from torch's {difference:.1e}")
    print(f"{arguments.output / 'README.md'}: the model card")
