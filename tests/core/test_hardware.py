"""What the environment variables can ask for."""

import pytest
import torch

from fkt.core.errors import UserError
from fkt.core.hardware import peak_memory_mb, pick_device, pick_precision, set_threads, usable_cores

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_an_error_and_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FKT_DEVICE", "cuda:99")
    absent = "no GPU found; use cpu" if not torch.cuda.is_available() else "is not available"
    with pytest.raises(UserError, match=f"FKT_DEVICE: 'cuda:99'.* ?{absent}"):
        pick_device()
    monkeypatch.setenv("FKT_DEVICE", "gpu")
    with pytest.raises(UserError, match="FKT_DEVICE: 'gpu' is not available"):
        pick_device()
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    assert pick_device() == CPU


def test_the_precision_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        monkeypatch.setenv("FKT_PRECISION", name)
        assert pick_precision(CPU) == dtype
    monkeypatch.setenv("FKT_PRECISION", "fp16")
    with pytest.raises(UserError, match="FKT_PRECISION: unknown value 'fp16'; choose from: fp32, bf16"):
        pick_precision(CPU)


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_a_number_of_threads_is_a_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FKT_THREADS", text)
    with pytest.raises(UserError, match="is not a whole number from 1"):
        set_threads(1.0)
    monkeypatch.setenv("FKT_CORES", text)
    with pytest.raises(UserError, match="FKT_CORES: .* is not a whole number from 1"):
        usable_cores()


def test_peak_memory_is_that_of_this_process() -> None:
    before = peak_memory_mb(CPU)
    held = torch.ones(64 * 2**20, dtype=torch.uint8)
    assert before > 50 and peak_memory_mb(CPU) >= before
    assert held.sum().item() == 64 * 2**20
