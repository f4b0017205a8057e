"""A density that notes at which clouds of points it was asked for log p and its score."""

from dataclasses import dataclass, field

from torch import Tensor

from toylab.densities import GaussianMixture


@dataclass(frozen=True, eq=False)
class Watched:
    """``law``, called like it.

    Attributes:
        law: what answers.
        n: points in a cloud of the chains; other calls are not noted.
        asked: clouds [n, 2] of calls of log_prob, in order.
        scored: of calls of score.
    """

    law: GaussianMixture
    n: int
    asked: list[Tensor] = field(default_factory=list)
    scored: list[Tensor] = field(default_factory=list)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """That of the law."""
        self._note(self.asked, x)
        return self.law.log_prob(x, sigma)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """That of the law."""
        self._note(self.scored, x)
        return self.law.score(x, sigma)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Those of the law."""
        return self.log_prob(x, sigma), self.score(x, sigma)

    def __getattr__(self, name: str) -> object:
        """The rest is the law's."""
        return getattr(self.law, name)

    def _note(self, calls: list[Tensor], x: Tensor) -> None:
        if x.shape == (self.n, 2):  # a point of vmap has another shape
            calls.append(x.detach().double().clone())
