"""Known slips in a loss, by the number that gives them away."""

import math


def explain_minimiser(a: float, tolerance: float, sigma: float | None) -> str:
    """The usual suspects for a minimiser of a times the score."""
    suspects = [
        (-1.0, "-s: sign of the target, or of the divergence term"),
        (0.0, "0: the target, or the divergence term, has no part in the loss"),
        (
            0.5,
            "s/2: the divergence term is halved (a trace divided by d = 2, directions with E v v^T = I/d) "
            "against 1/2 |s|^2, or |s|^2 has lost its 1/2",
        ),  # fmt: skip
        (2.0, "2 s: the divergence term, or the cross term, counts twice against 1/2 |s|^2"),
        (-0.5, "-s/2: sign and a factor of 2"),
        (-2.0, "-2 s: sign and a factor of 2"),
    ]
    if sigma:
        suspects += [
            (1 / sigma, "s/sigma: the target is z/sigma^2 where -z/sigma is meant"),
            (-1 / sigma, "-s/sigma: the target has the wrong sign and is divided by sigma once too often"),
            (sigma, "sigma s: the target is -z where -z/sigma is meant"),
            (-sigma, "-sigma s, the noise itself: a noise prediction z is not a score; the score is -z/sigma"),
            (1 / sigma**2, "s/sigma^2: the target is divided by sigma twice too often"),
            (sigma**2, "sigma^2 s: the target is -sigma z where -z/sigma is meant"),
            (1 / (8 * math.pi * sigma**2), "s/(8 pi sigma^2): the target is grad q(y | x) where grad log q is meant"),
        ]  # fmt: skip
    return "; or to ".join(words for value, words in suspects if abs(a - value) < tolerance * max(1, abs(value)))


def explain_factor(ratio: float, sigma: float | None) -> str:
    """The usual suspects for a loss that is ``ratio`` times too large."""
    suspects = [(2.0, "the 1/2 is missing"), (0.5, "there is a 1/2 too many")]
    if sigma:
        suspects += [(sigma**2, "a weight sigma^2, as of a noise prediction; say so by weight="),
                     (sigma, "a weight sigma"), (1 / sigma, "a weight 1/sigma"),
                     (1 / sigma**2, "a weight 1/sigma^2"), (sigma**4, "a weight sigma^4")]  # fmt: skip
    words = [text for value, text in suspects if abs(ratio / value - 1) < 0.03]
    return " or ".join(words) if words else "a constant factor; say so by weight=, or take it out"
