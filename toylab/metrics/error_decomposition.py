"""The error of a sampled mean in its parts: the noise, the sampler, the network."""

from dataclasses import dataclass

from toylab._internal.display import html_table
from toylab.metrics.estimate import Estimate


@dataclass(frozen=True)
class ErrorTerms:
    """The error of one sampled mean, E f by chains minus E f under the clean law, in its parts; they add up.

    Attributes:
        noising: E f under p_sigma - E f under p: exact, the price of sampling a noised law.
        discretisation: mean f of the sampler with the exact score - E f under p_sigma: steps too large or too few.
        estimation: mean f with this score - mean f with the exact one, same start and same random numbers.
        total: their sum. Its standard error is that of the finite number of chains.
    """

    noising: float
    discretisation: Estimate
    estimation: Estimate
    total: Estimate

    def __str__(self) -> str:
        return (
            f"noising {self.noising:.3f} + discretisation {self.discretisation} + estimation {self.estimation} "
            f"= total {self.total}"
        )

    def _repr_html_(self) -> str:
        return html_table(
            [
                ("noising", f"{self.noising:.3f}"),
                ("discretisation", f"{self.discretisation}"),
                ("estimation", f"{self.estimation}"),
                ("total", f"{self.total}"),
            ]
        )


@dataclass(frozen=True)
class ErrorDecomposition:
    """The error terms of each score, from ``metrics.explain``; ``plotting.error_decomposition`` draws them.

    Attributes:
        truth: E f under the clean law, by quadrature.
        sigma: noise level of the law that the sampler aims at.
        terms: by the name of the score; first "exact", and "clean" before it if it was asked for, whose estimation
            error is 0.
    """

    truth: float
    sigma: float
    terms: dict[str, ErrorTerms]

    def __str__(self) -> str:
        head = f"{'score':16s} {'noising':>9s} {'discretisation':>20s} {'estimation':>20s} {'total':>20s}"
        rows = [
            f"{name:16s} {terms.noising:9.3f} {terms.discretisation:>20s} {terms.estimation:>20s} {terms.total:>20s}"
            for name, terms in self.terms.items()
        ]
        return "\n".join([f"truth: {self.truth:.4f}", head, *rows])

    def _repr_html_(self) -> str:
        return html_table([("truth", f"{self.truth:.4f}"), *((name, f"{terms}") for name, terms in self.terms.items())])
