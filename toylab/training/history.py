"""What happened during a training."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from torch import Tensor

from toylab._internal.display import html_table, text_table
from toylab._internal.optional import require

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What happened during a training, one entry per report (every ``report_every`` steps), each of shape [reports].

    Attributes:
        steps: how many steps had been taken.
        loss: mean loss over the steps since the last report, as the objective counts it.
        fisher_divergence: that loss + the objective's offset, which estimates the Fisher divergence of the network in
            training, with Dropout and BatchNorm as they are there; of an objective that stands for another divergence,
            such as ``MaximumLikelihood``, that one. It is nan where the data is a plain set of points or the objective
            gives no offset.
        held_out: ``held_out`` of the averaged network in evaluation mode, nan if none was given.
        seconds: time since the start, without that spent on ``held_out``.
    """

    steps: Tensor
    loss: Tensor
    fisher_divergence: Tensor
    held_out: Tensor
    seconds: Tensor

    def to_pandas(self) -> "pandas.DataFrame":
        """A row per report, a column per attribute; needs pandas."""
        columns = {field.name: getattr(self, field.name).numpy().copy() for field in fields(self)}
        frame: pandas.DataFrame = require("pandas", "to_pandas", "study").DataFrame(columns)
        return frame

    def __repr__(self) -> str:
        return text_table("History", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        """The first and the last report, as rows of name and value; what was not measured is left out."""
        n = len(self.steps)
        if n == 0:
            return [("reports", "0")]
        rows = [("reports", f"{n:,}, the last after {int(self.steps[-1]):,} steps and {float(self.seconds[-1]):.1f} s")]
        measured = {"loss": self.loss, "Fisher divergence": self.fisher_divergence, "held out": self.held_out}
        for name, values in measured.items():
            if not values.isnan().all():
                first, last = float(values[0]), float(values[-1])
                rows.append((name, f"{last:.4f}" if n == 1 else f"{first:.4f} at first, {last:.4f} at last"))
        return rows
