"""The card that is not there behaves as CUDA does: what it lets meet, what it refuses, and what a recording forbids.

The facts are those of torch on CUDA; ``tests/devices/test_on_a_card.py`` rests on them.
"""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from tests.devices.card import CPU, Card, card
from toylab._internal.cuda_graphs import capture_step

CUDA = torch.device("cuda:0")


@pytest.fixture
def here() -> Card:
    with card() as one:
        yield one


def there(*shape: int, **kind) -> torch.Tensor:
    """Ones on the card."""
    return torch.ones(shape, device="cuda", **kind)


MOVES = {
    "made there": lambda: there(3, 2),
    "to(device)": lambda: torch.ones(3, 2).to("cuda"),
    "to(device, dtype)": lambda: torch.ones(3, 2).to("cuda", torch.float64),
    "to(device=)": lambda: torch.ones(3, 2).to(device=torch.device("cuda", 0)),
    "to(other)": lambda: torch.ones(3, 2).to(there(1)),
    "cuda()": lambda: torch.ones(3, 2).cuda(),
    "of numbers": lambda: torch.tensor([1.0, 2.0], device="cuda"),
    "of an array": lambda: torch.as_tensor(np.ones(2), device="cuda"),
    "like": lambda: torch.zeros_like(there(3)),
    "new": lambda: there(3).new_tensor([1.0]),
    "new zeros": lambda: there(3).new_zeros(2),
    "a view": lambda: there(3, 2)[1:, 0],
    "a sum": lambda: there(3) + 1.0,
    "a sum of a scalar of the CPU": lambda: torch.tensor(1.0) * there(3),
    "where": lambda: torch.where(there(3) > 0, torch.tensor(0.0), there(3)),
    "indexed by the CPU": lambda: there(3)[torch.tensor([0, 2])],
    "masked by the CPU": lambda: there(3)[torch.tensor([True, False, True])],
    "a Gram matrix": lambda: there(3, 2) @ there(2, 3),
    "stacked": lambda: torch.stack([there(2), there(2)]),
    "a choice": lambda: torch.randint(3, (4,), device="cuda", generator=torch.Generator("cuda")),
    "normal": lambda: torch.randn(4, device="cuda", generator=torch.Generator("cuda").manual_seed(0)),
    "a clone": lambda: copy.deepcopy(there(2)),
    "detached": lambda: there(2).requires_grad_().detach(),
    "cast": lambda: there(2).double(),
    "a number read and written": lambda: there(2) * float(there()),
    "a weight": lambda: nn.Linear(2, 2).to("cuda").weight,
    "a derivative": lambda: torch.autograd.grad((w := there(2).requires_grad_()).square().sum(), w)[0],
    "inside vmap": lambda: torch.func.vmap(lambda x: x + x.new_zeros(()))(there(3)),
    "a jvp": lambda: torch.func.jvp(torch.sin, (there(3),), (there(3),))[1],
    "a gradient": lambda: torch.func.grad(lambda x: x.square().sum())(there(3)),
    "einsum": lambda: torch.einsum("ni,nj->ij", there(3, 2), there(3, 2)),
    "a whole module": lambda: nn.Linear(2, 2).to("cuda")(there(3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_is_on_the_card(here, name):
    x = MOVES[name]()
    assert x.device == CUDA and x.is_cuda and not x.is_cpu
    assert torch.zeros(2, device=x.device).device == CUDA


STAYS = {
    "made here": lambda: torch.ones(2),
    "moved back": lambda: there(2).cpu(),
    "moved to(cpu)": lambda: there(2).to("cpu", torch.float64),
    "of numbers that were there": lambda: torch.tensor([float(x) for x in there(2)]),
    "of an array": lambda: torch.from_numpy(np.ones(2)),
    "copied into": lambda: torch.zeros(2).copy_(there(2)),
    "assigned to": lambda: (x := torch.zeros(3, 2), x.__setitem__(0, there(2)))[0],
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_is_on_the_cpu(here, name):
    x = STAYS[name]()
    assert x.device == CPU and x.is_cpu and not x.is_cuda


APART = {
    "a sum": lambda: there(3) + torch.ones(3),
    "a sum of one entry": lambda: there(3) + torch.ones(1),
    "a scalar of the card": lambda: torch.ones(3) * there(),
    "in place": lambda: torch.ones(()).add_(there()),
    "where": lambda: torch.where(torch.tensor([True, False]), there(2), there(2)),
    "a comparison": lambda: there(3) > torch.zeros(3),
    "a product of matrices": lambda: there(3, 2) @ torch.eye(2),
    "stacked": lambda: torch.stack([there(), torch.tensor(1.0)]),
    "cat": lambda: torch.cat([there(2), torch.ones(2)]),
    "the first factor of addcmul": lambda: torch.addcmul(there(2), torch.tensor(1.0), there(2)),
    "clamp": lambda: there(2).clamp(min=torch.tensor(0.0)),
    "gather": lambda: there(3).gather(0, torch.tensor([1])),
    "index_select": lambda: there(3).index_select(0, torch.tensor([1])),
    "searchsorted": lambda: torch.searchsorted(torch.ones(3), there(2)),
    "equal": lambda: torch.equal(there(2), torch.ones(2)),
    "cdist": lambda: torch.cdist(there(3, 2), torch.ones(3, 2)),
    "einsum": lambda: torch.einsum("ni,ij->nj", there(3, 2), torch.eye(2)),
    "a layer": lambda: nn.Linear(2, 2)(there(3, 2)),
    "a mask of fill": lambda: there(3).masked_fill(torch.tensor([True, False, True]), 0.0),
    "values of index_put": lambda: there(3).index_put((torch.tensor([0, 1]),), torch.ones(2)),
    "inside vmap": lambda: torch.func.vmap(lambda x: x + torch.ones(2))(there(3, 2)),
    "in forward mode": lambda: torch.func.jvp(lambda x: x * torch.ones(3), (there(3),), (there(3),)),
    "in a derivative": lambda: Wrong.apply(there(3).requires_grad_()).sum().backward(),
    "an index on the card": lambda: torch.ones(3)[torch.tensor([0], device="cuda")],
    "a generator of the CPU": lambda: torch.randn(3, device="cuda", generator=torch.Generator()),
    "a generator of the card": lambda: torch.randn(3, generator=torch.Generator("cuda")),
    "a generator in place": lambda: there(3).normal_(generator=torch.Generator()),
    "another card": lambda: torch.ones(2, device="cuda:1"),
}  # fmt: skip


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, slope):
        return slope * torch.full((3,), 2.0)


@pytest.mark.parametrize("name", APART)
def test_is_refused(here, name):
    with pytest.raises(RuntimeError, match="same device|generator|invalid device ordinal"):
        APART[name]()


def test_arrays_are_of_the_cpu_alone(here):
    for read in (torch.Tensor.numpy, np.asarray):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            read(there(2))
        assert read(there(2).cpu()).tolist() == [1.0, 1.0]
    assert there(2).tolist() == [1.0, 1.0]
    assert isinstance(torch.Generator("cuda"), torch.Generator)
    assert isinstance(torch.default_generator, torch.Generator)
    assert torch.Generator("cuda").device == CUDA


def test_derivatives_are_where_their_tensors_are(here):
    w, x = there(2).requires_grad_(), torch.ones(2, requires_grad=True)
    (w * x.to("cuda")).sum().backward()
    assert w.grad.device == CUDA and x.grad.device == CPU
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).to("cuda")
    network(there(4, 2)).square().sum().backward()
    assert {p.grad.device for p in network.parameters()} == {CUDA}
    with torch.autograd.forward_ad.dual_level():
        y = torch.autograd.forward_ad.make_dual(there(2), there(2)).sin()
        assert y.device == torch.autograd.forward_ad.unpack_dual(y).tangent.device == CUDA


def test_a_file_is_read_onto_the_device_that_is_asked_for(here):
    file = io.BytesIO()
    torch.save({"weights": [there(2)]}, file)
    for target in ("cpu", "cuda"):
        file.seek(0)
        assert torch.load(file, map_location=target)["weights"][0].device.type == target


def test_an_address_that_is_used_again_belongs_to_no_one(here):
    for _ in range(200):
        assert there(2).device == CUDA
        assert torch.ones(2).device == CPU


READS = {
    "a number": lambda x: x * float(x.sum()),
    "a truth value": lambda x: x if (x > 0).all() else -x,
    "a list": lambda x: x * len(x.tolist()),
    "a mask": lambda x: x[x > 0],
    "a move": lambda x: x.cpu().to("cuda"),
    "numbers": lambda x: x + x.new_tensor([1.0, 2.0]),
    "numbers with a device": lambda x: x + torch.tensor([1.0, 2.0], device="cuda"),
    "an index of the CPU": lambda x: x[torch.tensor([1, 0])],
    "nonzero": lambda x: x.nonzero(),
    "equal": lambda x: x * torch.equal(x, x),
}


@pytest.mark.parametrize("name", READS)
def test_a_recording_refuses_what_waits_for_the_card(here, name):
    step = capture_step(READS[name], CUDA)
    for _ in range(3):  # which are no recording yet
        step(there(2))
    with pytest.raises(RuntimeError, match="operation not permitted when stream is capturing"):
        step(there(2))
    assert here.recorded == 1 and not here.recording


def test_a_recording_holds_what_stays_on_the_card(here):
    generator = torch.Generator("cuda").manual_seed(0)
    step = capture_step(
        lambda x, h: x + h * torch.randn(2, device="cuda", generator=generator) + torch.zeros(2, device=x.device),
        CUDA, generator=generator,
    )  # fmt: skip
    drawn = [step(there(2), 0.1 * k).clone() for k in range(6)]
    again = torch.Generator("cuda").manual_seed(0)
    for k, x in enumerate(drawn):
        assert x.device == CUDA
        assert torch.allclose(x, 1 + 0.1 * k * torch.randn(2, device="cuda", generator=again))


def test_mps_has_no_float64():
    with card("mps"):
        x = torch.ones(2, device="mps")
        assert x.device == torch.device("mps:0") and x.is_mps
        for make in (x.double, lambda: torch.ones(2, dtype=torch.float64, device="mps"), lambda: x.to(torch.float64),
                     lambda: x * torch.tensor([1.0, 2.0], dtype=torch.float64).to("mps")):  # fmt: skip
            with pytest.raises(TypeError, match="MPS framework doesn't support float64"):
                make()
        assert x.cpu().double().dtype == torch.float64
        assert torch.ones(2, dtype=torch.float64).to("mps", torch.float32).device == x.device


def test_outside_all_is_as_it_was():
    before = torch.Generator, torch.load, torch.cuda.is_available, torch.autograd.has_torch_function
    with card():
        x = there(2)
    assert (torch.Generator, torch.load, torch.cuda.is_available, torch.autograd.has_torch_function) == before
    assert x.device == CPU
