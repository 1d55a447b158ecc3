"""What a sweep is: the model of ``sweeps/NAME.yaml``. Knows the form of the file, not what its settings mean."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from fkt.core.errors import ParamsError, unknown_name
from fkt.params.base import Section
from fkt.params.reader import read_yaml
from fkt.sweeps.table_checks import check_table, require_known
from fkt.sweeps.table_spec import Levels, Settings, Table

SWEEPS = Path("sweeps")


class Sweep(Section):
    """One question, the experiments that answer it, and the tables that show the answer."""

    name: str
    title: str
    question: str
    remarks: list[str]
    """What a reader must know before believing the tables."""
    settings: Settings
    """The same in every experiment."""
    axes: dict[str, Levels] = Field(min_length=1)
    """Experiments are the product of these."""
    exclude: list[dict[str, str]] = []
    """Combinations of levels (axis: label) that are no experiment."""
    tables: list[Table] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> Sweep:
        for table in self.tables:
            try:
                check_table(table, self.axes)
            except ValueError as error:
                raise ValueError(f"table '{table.title}': {error}") from error
        for combination in self.exclude:
            for axis, label in combination.items():
                require_known("axis", axis, self.axes)
                require_known(f"level of {axis}", label, self.axes[axis])
        return self


def available(folder: Path = SWEEPS) -> list[str]:
    """Names of the sweeps that there are."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_sweep(name: str, folder: Path = SWEEPS) -> Sweep:
    """Read a sweep. Raises ParamsError for a name that there is not, and for a file that is no sweep."""
    known = available(folder)
    if name not in known:
        raise ParamsError(unknown_name("sweep", name, known) if known else f"there is no sweep in {folder}/")
    path = folder / f"{name}.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds no keys; see the other sweeps for how they look")
    try:
        return Sweep.model_validate({"name": name, **content})
    except ValidationError as error:
        lines = [
            f"{path}: {_place(found['loc'])}{found['msg'].removeprefix('Value error, ')}" for found in error.errors()
        ]
        raise ParamsError("\n       ".join(lines)) from error


def _place(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""
