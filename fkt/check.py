"""The complete check of params.yaml: its form, and every name in it against the tables of what exists."""

from pathlib import Path

from fkt.core.errors import ParamsError, unknown_name
from fkt.params import PARAMS_FILE, Params, load_params
from fkt.raw.datasets import DATASETS


def load_checked(path: Path = PARAMS_FILE) -> Params:
    """Read params.yaml and check all of it. Raises ParamsError with a line for each mistake."""
    params = load_params(path)
    check_names(params)
    return params


def check_names(params: Params) -> None:
    """Check the names of datasets and files. Raises ParamsError with a line for each mistake."""
    named = [("dataset", params.dataset)]
    named += [(f"transfer.datasets[{number}]", name) for number, name in enumerate(params.transfer.datasets)]
    problems = [f"{key}: {unknown_name('dataset', name, DATASETS)}" for key, name in named if name not in DATASETS]
    if not problems and params.prepare.masks == "files" and not DATASETS[params.dataset].is_tree:
        trees = ", ".join(name for name, row in DATASETS.items() if row.is_tree)
        problems.append(
            f"prepare.masks: files needs a dataset of image files ({trees}), not {params.dataset}; set "
            "prepare.masks: saliency"
        )
    source = params.imagenet.source
    if "imagenet" in params.modes and source is not None and not Path(source).is_file():
        problems.append(f"imagenet.source: the file {source} does not exist; correct the path, or leave it empty")
    if problems:
        raise ParamsError("\n       ".join(problems))
