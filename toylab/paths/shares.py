"""What x_t is made of: x_t = a x_0 + b x_1, with a and b functions of t."""

from typing import NamedTuple

from torch import Tensor


class Shares(NamedTuple):
    """a, b and their derivatives at the time of each point, each of shape [] or [...]."""

    source: Tensor
    data: Tensor
    source_rate: Tensor
    data_rate: Tensor

    def columns(self, n: int, like: Tensor) -> "Shares":
        """The same with n dimensions of size 1 more, in the dtype and on the device of ``like``."""
        return Shares(*(share.to(like)[(..., *(None,) * n)] for share in self))
