"""Stage plan: check params.yaml as a whole, and decide which networks are trained.

Every other stage depends on a file that this one writes: a mistake in params.yaml stops DVC here, before a stage runs.
Usage: python -m stages.plan
"""

from fkt.check import load_checked
from fkt.core.errors import ParamsError, reported
from fkt.core.files import write_text
from fkt.core.pipeline import planned
from fkt.core.runs import PLAN, plan_path
from fkt.params import Params

# Before any stage, 'dvc exp run' removes outputs of stages that the new seeds, modes and dataset do not name.
REMEDY = "Correct it and run again. Outputs that DVC has removed from the workspace come back from its cache."


def main(params: Params) -> None:
    """Write for each network the parameters and the code of its training, or ``skip``.

    DVC reruns the stages whose file changed.
    """
    for name, text in planned(params.trained, params.model_dump(by_alias=True, mode="json")).items():
        write_text(plan_path(name), text)
    write_text(PLAN / "checked", "params.yaml was checked\n")
    print(f"trained for each of {len(params.seeds)} seeds: {', '.join(params.trained)}")


if __name__ == "__main__":
    with reported():
        try:
            main(load_checked())
        except ParamsError as error:
            raise ParamsError(f"{error}\n{REMEDY}") from error
