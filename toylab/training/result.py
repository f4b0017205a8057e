"""The result of a training: networks and their histories, also where it diverged."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from torch import nn

from toylab._internal.display import html_table, text_table
from toylab._internal.optional import require
from toylab.training.history import History
from toylab.training.saving import save, save_training
from toylab.training.spread import Spread
from toylab.training.state import TrainingState
from toylab.training.trial import check_call, measured

if TYPE_CHECKING:
    import pandas

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Generic[Network]):
    """Trained networks (averaged weights, gradients off, evaluation mode) and their histories, one per seed.

    Attributes:
        networks: as many as ``n_seeds``.
        histories: one per network.
        state: what ``fit(..., resume=...)`` goes on from; None of a training that diverged.
    """

    networks: tuple[Network, ...]
    histories: tuple[History, ...]
    state: TrainingState | None = None

    @property
    def network(self) -> Network:
        """The first network, which started from the weights given."""
        return self.networks[0]

    @property
    def history(self) -> History:
        """The history of the first network."""
        return self.histories[0]

    def spread(self, measure: Callable[[Network], float]) -> Spread:
        """A number measured on every network, such as ``lambda s: metrics.fisher_divergence(s, p)``."""
        check_call("measure", measure, "lambda s: metrics.fisher_divergence(s, p)")
        return Spread(tuple(measured(measure, network, "measure") for network in self.networks))

    def to_pandas(self) -> "pandas.DataFrame":
        """The histories one below the other, the column ``seed`` counting the networks; needs pandas."""
        pd = require("pandas", "to_pandas", "study")
        parts = [history.to_pandas() for history in self.histories]
        for seed, part in enumerate(parts):
            part.insert(0, "seed", seed)
        frame: pandas.DataFrame = pd.concat(parts, ignore_index=True)
        return frame

    def save(self, path: str | PathLike[str], *, state: bool = False) -> None:
        """Write the network to a file that ``load`` reads, as ``training.save`` does.

        With ``state`` the file also holds all that ``fit(..., resume=path)`` goes on from, of all networks, of whatever
        kind they are. It is written whole, or not at all.

        Args:
            path: of the file.
            state: whether to write where the training stands, four times as much as the network.

        Raises:
            TypeError: without ``state``, for a network that ``training.save`` does not write.
            ValueError: without ``state`` for several networks; with it for a training that diverged, which has none.
        """
        if state:
            save_training(self.network, self.state, path)
        elif len(self.networks) > 1:
            raise ValueError(
                f"the fit holds {len(self.networks)} networks, and load reads one: save each by "
                "training.save(network, path), or all to be trained on by save(path, state=True)."
            )
        else:
            save(self.network, path)

    def __repr__(self) -> str:
        return text_table("Fit", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        n_weights = sum(p.numel() for p in self.network.parameters())
        networks = f"{len(self.networks)} {type(self.network).__name__} of {n_weights:,} weights"
        rows = [("networks", networks), *self.history._summary()]
        if len(self.networks) > 1 and len(self.history.steps):
            rows += [("last loss of all", str(Spread(tuple(float(history.loss[-1]) for history in self.histories))))]
        return rows


class TrainingDiverged(FloatingPointError):
    """The loss became nan or inf.

    Attributes:
        fit: what was learned by the last report before; None if there was none.
    """

    def __init__(self, message: str, fit: Fit[Any] | None) -> None:
        super().__init__(message)
        self.fit = fit
