"""What x_t is made of: x_t = a x_0 + b x_1 + c z, z ~ N(0, I) a latent noise, with a, b and c functions of t."""

from typing import NamedTuple

from torch import Tensor


class Shares(NamedTuple):
    """a, b, c and their derivatives at the time of each point, each of shape [] or [...]."""

    source: Tensor
    data: Tensor
    latent: Tensor
    source_rate: Tensor
    data_rate: Tensor
    latent_rate: Tensor

    def to(self, like: Tensor) -> "Shares":
        """The same in the dtype and on the device of ``like``."""
        return Shares(*(share.to(like) for share in self))

    def columns(self, n: int) -> "Shares":
        """The same with n dimensions of size 1 more."""
        return Shares(*(share[(..., *(None,) * n)] for share in self))
