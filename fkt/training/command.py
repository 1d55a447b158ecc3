"""The command line of the training stages. Imports torch only where a network is trained."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from fkt.core import ranks
from fkt.core.arms import NETWORKS
from fkt.core.errors import UserError, enough_memory, reported
from fkt.core.hardware import requested_nodes, requested_processes
from fkt.core.runs import Run, is_skipped, plan_path, stage_item
from fkt.core.seals import seal
from fkt.training.launch import launch, reported_to_launcher

if TYPE_CHECKING:
    from fkt.params import Params

SKIPPED = "SKIPPED.txt"
NOTE = "Not trained: 'modes' in params.yaml names no mode that needs this run. Add one, then run 'dvc repro'.\n"


def training_stage(section: str, main: Callable[[Run, Params], None]) -> None:
    """Run a training stage: ``python -m stages.SECTION NETWORK [SEED]``; under DVC, its name has the seed.

    Where the plan skips the network, only a note is left in place of the outputs. With FKT_PROCESSES or FKT_NODES the
    stage runs itself again in several processes, and waits for them.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{section}", description=main.__doc__)
    parser.add_argument("network", choices=[name for name, row in NETWORKS.items() if row.section == section])
    parser.add_argument("seed", type=int, nargs="?", default=stage_item())
    arguments = parser.parse_args()
    if arguments.seed is None:
        parser.error("give a seed")
    with reported_to_launcher() if ranks.is_worker() else reported():
        if is_skipped(arguments.network):
            run = Run("", arguments.network, arguments.seed)
            for folder in (run.model, run.log):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / SKIPPED).write_text(NOTE, encoding="utf-8")
            print(f"{run.label}: skipped, modes does not need it")
            return
        from fkt.params import load_params

        params = load_params()
        run = Run(params.dataset, arguments.network, arguments.seed)
        check_plan(run, params)
        processes = requested_processes()
        if not ranks.is_worker() and processes * requested_nodes() > 1:
            launch(f"stages.{section}", run, processes)
            return
        training, image_size = getattr(params, section), params.prepare.image_size
        remedy = (
            f"{section}.batch_size (now {training.batch_size}) or prepare.image_size (now {image_size}), or raise "
            f"{section}.accumulate_steps (now {training.accumulate_steps})"
        )
        with ranks.connected(), enough_memory(run.label, remedy):
            main(run, params)
            if ranks.is_first():
                seal(run.log)


def check_plan(run: Run, params: Params) -> None:
    """Raise UserError if the plan of a network is not that of the present parameters and code.

    DVC would otherwise file the result under the plan's. Without a plan, as outside of DVC, there is nothing to check.
    """
    from fkt.core.pipeline import training_inputs

    path = plan_path(run.name)
    if not path.is_file():
        return
    now = training_inputs(run.network.stage, params.model_dump(by_alias=True, mode="json"))
    planned = json.loads(path.read_text(encoding="utf-8"))
    if planned != now:
        names = {**planned["params"], **now["params"]}
        changed = [name for name in names if planned["params"].get(name) != now["params"].get(name)]
        raise UserError(
            f"{', '.join(changed) or 'the code'} has changed since {path} was written; run 'dvc repro' again"
        )
