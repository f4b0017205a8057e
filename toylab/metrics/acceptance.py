"""How many proposals did the chains accept?"""

from toylab._internal.warn import warn
from toylab.metrics.estimate import Estimate, mean_of
from toylab.samplers.chains import Chains


def acceptance(chains: Chains) -> Estimate:
    """The share of proposals accepted, mean over the chains; the error bar is that of independent chains.

    It shows whether the steps are too large (near 0) or too small (near 1), not whether the law is right: the wrong
    MALA of ``museum.mala_of_two_kernels`` accepts 97 %.

    Args:
        chains: at least 2, of a sampler that accepts and rejects; a rate of exactly 1 is warned of, for all others have
            it too. No path is needed.
    """
    if not isinstance(chains, Chains):
        raise TypeError(f"chains is a {type(chains).__name__}: give the Chains that a sampler such as mala returned.")
    if len(chains.acceptance) < 2:
        raise ValueError("chains is a single chain: an error bar needs at least 2. Its rate is chains.acceptance[0].")
    if bool((chains.acceptance == 1).all()):
        warn(
            "every proposal of every chain was accepted: either these chains are of a sampler that never refuses, such "
            "as langevin, or their step_size is far too small. The error bar of 0 means neither."
        )
    return mean_of(chains.acceptance)
