"""How many proposals did the chains accept?"""

from toylab.metrics.estimate import Estimate, mean_of
from toylab.samplers.chains import Chains


def acceptance(chains: Chains) -> Estimate:
    """The share of proposals accepted, mean over the chains; the error bar is that of independent chains.

    It shows whether the steps are too large (near 0) or too small (near 1), not whether the law is right: the wrong
    MALA of ``museum.mala_of_two_kernels`` accepts 97 %.

    Args:
        chains: of a sampler that accepts and rejects; all others have a rate of 1. No path is needed.
    """
    if not isinstance(chains, Chains):
        raise TypeError(f"chains is a {type(chains).__name__}: give the Chains that a sampler such as mala returned.")
    return mean_of(chains.acceptance)
