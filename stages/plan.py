"""Stage plan: check params.yaml as a whole, and decide which networks are trained.

Every other stage depends on a file that this one writes: a mistake in params.yaml stops DVC here, before a stage runs.
Usage: python -m stages.plan
"""

from fkt.check import load_checked
from fkt.core.arms import NETWORKS, PRETRAINED, chain
from fkt.core.errors import ParamsError, reported
from fkt.core.files import write_json, write_text
from fkt.core.pipeline import training_inputs
from fkt.core.runs import PLAN, SKIP, plan_path
from fkt.params import Params

# Before any stage, 'dvc exp run' removes outputs of stages that the new seeds, modes and dataset do not name.
REMEDY = "Correct it and run again. Outputs that DVC has removed from the workspace come back from its cache."


def main(params: Params) -> None:
    """Write for each network the parameters and the code of its training, or ``skip``.

    DVC reruns the stages whose file changed.
    """
    modes = [*params.modes, *([PRETRAINED] if params.transfer.datasets else [])]
    needed = {network.name for mode in modes for network in chain(mode)}
    content = params.model_dump(by_alias=True, mode="json")
    for name, network in NETWORKS.items():
        if name in needed:
            write_json(plan_path(name), training_inputs(network.stage, content))
        else:
            write_text(plan_path(name), SKIP)
    write_text(PLAN / "checked", "params.yaml was checked\n")
    print(f"trained for each of {len(params.seeds)} seeds: {', '.join(name for name in NETWORKS if name in needed)}")


if __name__ == "__main__":
    with reported():
        try:
            main(load_checked())
        except ParamsError as error:
            raise ParamsError(f"{error}\n{REMEDY}") from error
