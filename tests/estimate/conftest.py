"""The working folder of the stages' tests."""

from tests.stages.conftest import write_params

__all__ = ["write_params"]
