"""Compile every kernel for a GPU, which needs none, and print what each takes: ``python -m tests.kernels.compile_all``.

Triton's interpreter runs kernels that its compiler refuses. Prints one line per kernel: name, architecture, how many
addresses of points are counted in 32 bits, bytes of shared memory.
"""

import itertools
import re
import sys

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from toylab._kernels import gaussians, mixture_chain, mixture_draw, softplus_mlp
from toylab._kernels.when import OPTIONS

# every pointer of a float is to the dtype of the points but these
WIDE, WHOLE = {"wide", "edges"}, {"level_ptr": "*i32", "seed_ptr": "*i64", "alive_ptr": "*i64"}
CONSTANTS = {"ROUND": True, "LEVELS": False, "BLOCK": 64, "HALVINGS": 4}


def variants():
    """Each kernel with what may be absent, or known at compile time, in more than one way."""
    for hessian, levels in itertools.product((True, False), repeat=2):
        absent = ([] if hessian else ["h_ptr"]) + ([] if levels else ["noise_ptr"])
        yield gaussians._evaluate, {"LEVELS": levels, "ROUND": False}, absent
    yield gaussians._posterior, {"LEVELS": True, "ROUND": False}, []
    for round_ in (True, False):
        yield mixture_chain._langevin, {"ROUND": round_}, []
        yield mixture_chain._mala, {"ROUND": round_}, ["factor_ptr"] if round_ else []
    yield mixture_draw._draw, {}, []
    yield softplus_mlp._activate, {}, []
    yield softplus_mlp._back, {}, []


def signature(kernel, dtype, constants):
    """The types of a kernel's arguments."""
    types = {}
    for name in kernel.arg_names:
        if name in constants:
            types[name] = "constexpr"
        elif name in WHOLE:
            types[name] = WHOLE[name]
        elif name in WIDE:
            types[name] = "*fp64"
        else:
            is_pointer = name.endswith("_ptr") or name in {"table", "tables", "frames"}
            types[name] = f"*{dtype}" if is_pointer else "i32"
    return types


def narrow(code, block):
    """How many addresses of a block of points are computed in 32 bits, which overflow from 2^30 points on."""
    computed = re.findall(rf"(%\w+) = arith\.(?!constant).*tensor<{block}xi32>", code)
    return len(set(computed).intersection(re.findall(rf"tt\.addptr %\w+, (%\w+) : .*tensor<{block}xi32>", code)))


def main(capabilities):
    """Compile all for these compute capabilities, such as 80 and 90."""
    for (kernel, known, absent), dtype, capability in itertools.product(variants(), ("fp32", "fp64"), capabilities):
        constants = {name: value for name, value in (CONSTANTS | known).items() if name in kernel.arg_names}
        constants |= dict.fromkeys(absent)
        source = ASTSource(fn=kernel, signature=signature(kernel, dtype, constants), constexprs=constants)
        made = compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 1, **OPTIONS})
        print(
            kernel.__name__, dtype, capability, narrow(made.asm["ttir"], CONSTANTS["BLOCK"]), made.metadata.shared
        )  # fmt: skip


if __name__ == "__main__":
    main([int(capability) for capability in sys.argv[1:]])
