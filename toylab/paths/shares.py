"""What x_t is made of: x_t = a x_0 + b x_1 + gamma z, with a, b and gamma functions of t; gamma may be 0."""

from typing import NamedTuple

from torch import Tensor


class Shares(NamedTuple):
    """a, b, their derivatives, gamma^2 and gamma gamma' at the time of each point, each of shape [] or [...]."""

    source: Tensor
    data: Tensor
    source_rate: Tensor
    data_rate: Tensor
    latent: Tensor  # gamma^2, a variance
    latent_slope: Tensor  # gamma gamma', half of its derivative: it is finite where gamma' is not

    def columns(self, n: int, like: Tensor) -> "Shares":
        """The same with n dimensions of size 1 more, in the dtype and on the device of ``like``."""
        return Shares(*(share.to(like)[(..., *(None,) * n)] for share in self))
