"""The private names of torch still do what toylab uses them for, and none is used outside of ``torch_private``."""

import ast
from pathlib import Path

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

import toylab
from toylab._internal.torch_private import (
    MemoryTaken,
    differentiated,
    in_forward_mode,
    in_vmap,
    is_batched,
    is_hooked,
    standard_gamma,
    version,
)

ROOT = Path(toylab.__file__).parent
ALLOWED = "torch_private.py"
TENSOR_PRIVATE = {name for name in dir(torch.Tensor) if name.startswith("_") and not name.startswith("__")}


def private_names(source):
    """Names of torch in a piece of code that begin with an underscore, and ``torch._C`` and the like in imports."""
    torch_names, found = {"torch"}, []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            torch_names |= {(alias.asname or "torch") for alias in node.names if alias.name.split(".")[0] == "torch"}
            found += [alias.name for alias in node.names if _is_private(alias.name)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch":
            torch_names |= {alias.asname or alias.name for alias in node.names}
            found += [name for alias in node.names if _is_private(name := f"{node.module}.{alias.name}")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            of_torch = isinstance(root, ast.Name) and root.id in torch_names
            if of_torch or node.attr in TENSOR_PRIVATE:
                found.append(ast.unparse(node))
    return found


def _is_private(name):
    parts = name.split(".")
    return parts[0] == "torch" and any(part.startswith("_") and not part.startswith("__") for part in parts)


def test_no_private_name_of_torch_elsewhere():
    found = {
        str(path.relative_to(ROOT)): names
        for path in ROOT.rglob("*.py")
        if path.name != ALLOWED and (names := private_names(path.read_text()))
    }
    assert not found, f"use a public name of torch, or give it a place and a reason in {ALLOWED}: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch._fused_adam_()",
        "import torch\ntorch._C._are_functorch_transforms_active()",
        "import torch.autograd.forward_ad as ad\nad._current_level",
        "from torch.autograd import forward_ad\nforward_ad._current_level",
        "from torch.utils._pytree import tree_flatten",
        "import torch.utils._pytree",
        "from torch._dynamo import disable",
        "x._version",
    ],
)
def test_it_would_be_seen(source):
    assert private_names(source)
    assert not private_names("import torch\nfrom torch import nn\ntorch.__version__\nself._weights\nnn.Linear")


def test_forward_mode_is_seen_in_every_transform():
    """If this fails, ``forward_ad._current_level`` has changed: networks are right without it, but slower."""
    x, seen = torch.ones(3, 2), []

    def look(y):
        seen.append(in_forward_mode())
        return y.sum(-1)

    look(x)
    torch.func.vjp(look, x)
    torch.func.vmap(look)(x)
    assert seen == [False] * 3
    seen.clear()
    with forward_ad.dual_level():
        look(forward_ad.make_dual(x, x))
        torch.func.vjp(look, forward_ad.make_dual(x, x))
    torch.func.jvp(look, (x,), (x,))
    torch.func.jvp(torch.func.vmap(look), (x,), (x,))
    torch.func.vmap(lambda y: torch.func.jvp(look, (y,), (y,))[1])(x)
    assert seen == [True] * 5


def test_an_axis_of_vmap_is_seen_through_every_transform():
    """If this fails, ``torch._C._functorch`` has changed: laws done by quadrature do not say why vmap refuses them."""
    x, seen = torch.ones(3, 2), []

    def look(y):
        seen.append(is_batched(y))
        return y.sum(-1)

    look(x)
    torch.func.jacrev(look)(x)
    torch.func.jacfwd(look)(x)
    torch.func.hessian(look)(x)
    assert seen == [False] * 4
    seen.clear()
    torch.func.vmap(look)(x)
    torch.func.vmap(torch.func.jacrev(look))(x)
    torch.func.vmap(torch.func.jacfwd(look))(x)
    torch.func.vmap(torch.func.hessian(look))(x)
    assert seen == [True] * 4


def test_gamma_numbers_follow_a_generator():
    """If this fails, ``torch._standard_gamma`` has changed: Student's t has no samples that follow a generator.

    Mean and variance are the shape: of 100,000 numbers the mean is known to sqrt(3 / 1e5) = .0055.
    """
    shape = torch.full((100_000,), 3.0)
    one, other = (standard_gamma(shape, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one, other)
    assert abs(float(one.mean()) - 3) < 5 * 0.0055


def test_a_change_in_place_is_counted():
    """If this fails, ``Tensor._version`` has changed: levels changed in place may go unnoticed in ``draw_levels``."""
    x = torch.ones(3)
    before = version(x)
    x.mul_(2)
    assert version(x) > before
    assert version(x) == version(x)


def test_vmap_is_seen_however_deep():
    seen = []

    def f(x):
        seen.append(in_vmap())
        return x

    x = torch.zeros(3)
    torch.func.vmap(f)(x)
    torch.func.vmap(torch.func.grad(f))(x)
    torch.func.grad(lambda x: torch.func.vmap(f)(x).sum())(x)
    torch.func.grad(lambda x: f(x).sum())(x)
    f(x)
    assert seen == [True, True, True, False, False]


def test_a_derivative_that_may_be_wanted_is_seen():
    x = torch.zeros(3)
    assert not differentiated(x)
    assert differentiated(x.clone().requires_grad_())
    seen = []
    torch.func.grad(lambda y: torch.func.vmap(lambda t: [seen.append(differentiated(t)), t][1])(y).sum())(x)
    with forward_ad.dual_level():
        seen.append(differentiated(x))
    assert seen == [True, True]


def test_hooks_are_seen():
    """If this fails, torch keeps its hooks elsewhere, and chains in one kernel would pass them by."""
    ways = [
        lambda module: module.register_forward_hook(lambda *args: None),
        lambda module: module.register_forward_pre_hook(lambda *args: None),
        lambda module: torch.nn.modules.module.register_module_forward_hook(lambda *args: None),
        lambda module: torch.nn.modules.module.register_module_forward_pre_hook(lambda *args: None),
    ]
    module = torch.nn.Linear(1, 1)
    for way in ways:
        assert not is_hooked(module)
        handle = way(module)
        assert is_hooked(module)
        handle.remove()
    assert not is_hooked(module)
    module.forward = lambda x: x
    assert is_hooked(module)


def test_memory_is_counted_as_it_is_taken_and_given_back():
    """If this fails, ``TorchDispatchMode`` or ``_cdata`` has changed: ``fit`` foretells a wrong amount of memory."""
    w, x = torch.ones(100, 100), torch.ones(10, 100)
    with MemoryTaken([w]) as taken:
        for _ in range(5):
            y = (x @ w.T).view(-1)[5:]  # a view takes nothing, and what is assigned anew is given back
        assert (taken.of_points, taken.of_weights) == (2 * 4000, 0)
        z = torch.cat([w, w])
        z += 1
        del y, z
        both = [torch.randn(1000) for _ in range(3)]
    assert (taken.of_points, taken.of_weights) == (3 * 4000, 2 * 40_000)
    assert len(both) == 3


def test_memory_is_counted_in_transforms_and_what_autograd_keeps():
    w, x = torch.ones(100, 100, requires_grad=True), torch.ones(10, 100)
    with MemoryTaken([w]) as taken:
        y = (x @ w).exp().exp().sum()  # the exponentials keep their results, the product is given back
    assert taken.of_points == 2 * 4000 + 4
    with MemoryTaken([w]) as taken:
        torch.func.grad(lambda x: (x @ w).exp().sum())(x)
    assert taken.of_points >= 2 * 4000  # the exponential, and the slope along it
    assert y.requires_grad
