"""Kernels run on CUDA devices that Triton compiles for; where they do not, one sentence says why."""

import importlib
from contextlib import nullcontext

import pytest
import torch

from toylab._kernels import when

CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.setattr(when, "_given_up", set())
    for kept in (when.obstacle, when._tell):
        kept.cache_clear()
    yield
    for kept in (when.obstacle, when._tell):
        kept.cache_clear()


def test_triton_is_here_for_the_tests_of_the_kernels():
    pytest.importorskip("triton", reason="the other tests of the kernels need triton, which `make test` installs")


@pytest.mark.parametrize("name", ["cpu", "meta", "mps"])
def test_not_elsewhere_and_without_a_word(name):
    assert not when.fused(torch.device(name))


def test_on_a_card_that_triton_compiles_for(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert when.fused(CUDA)


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'triton'"), OSError("DLL load failed")])
def test_without_triton_one_sentence_says_so_once(monkeypatch, error):
    def broken(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", broken)
    said = rf"without fused kernels.*triton cannot be imported \({error}\).*Windows"
    with pytest.warns(RuntimeWarning, match=said) as told:
        assert not when.fused(CUDA)
        assert not when.fused(CUDA)
    assert len(told) == 1


def test_on_an_old_card_one_sentence_says_so(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.warns(RuntimeWarning, match=r"compute capability 7\.5"):
        assert not when.fused(CUDA)


def test_what_fails_once_is_not_tried_again():
    calls = []

    def broken():
        calls.append(1)
        raise OSError("no compiler\nhere")

    with pytest.warns(RuntimeWarning, match="kernel of a test does not run here.*OSError: no compiler$") as told:
        assert not when.attempt("of a test", torch.device("cpu"), broken)
        assert not when.attempt("of a test", torch.device("cpu"), broken)
    assert len(calls) == len(told) == 1
    assert when.attempt("another", torch.device("cpu"), lambda: None)


def test_what_fails_while_a_graph_is_recorded_may_run_outside_of_it(monkeypatch):
    def refused():
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(when, "current", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="not permitted"):
        when.attempt("of a test", CUDA, refused)
    assert when.attempt("of a test", CUDA, lambda: None)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, KeyboardInterrupt])
def test_a_lack_of_memory_and_ctrl_c_are_no_fault_of_a_kernel(error):
    def raising():
        raise error

    with pytest.raises(error):
        when.attempt("of a test", torch.device("cpu"), raising)
    assert when.attempt("of a test", torch.device("cpu"), lambda: None)
