"""The command line of the training stages. Imports torch only where a network is trained."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from fkt.core.arms import NETWORKS
from fkt.core.errors import reported
from fkt.core.runs import Run, is_skipped

if TYPE_CHECKING:
    from fkt.params import Params

SKIPPED = "SKIPPED.txt"
NOTE = "Not trained: 'modes' in params.yaml names no mode that needs this run. Add one, then run 'dvc repro'.\n"


def training_stage(section: str, main: Callable[[Run, Params], None]) -> None:
    """Run a training stage: ``python -m stages.SECTION NETWORK SEED``.

    Where the plan skips the network, only a note is left in place of the outputs.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{section}", description=main.__doc__)
    parser.add_argument("network", choices=[name for name, row in NETWORKS.items() if row.section == section])
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    with reported():
        if is_skipped(arguments.network):
            run = Run("", arguments.network, arguments.seed)
            for folder in (run.model, run.log):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / SKIPPED).write_text(NOTE, encoding="utf-8")
            print(f"{run.label}: skipped, modes does not need it")
            return
        from fkt.params import load_params

        params = load_params()
        main(Run(params.dataset, arguments.network, arguments.seed), params)
