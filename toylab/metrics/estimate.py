"""A number with its error bar."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal.arrays import HasArray, tensor_of
from toylab._internal.display import html_table

_NUMBER_FORMATS = tuple("eEfFgGn%")


@dataclass(frozen=True)
class Estimate:
    """A measured number and its standard error (one standard deviation of the estimate).

    ``float(e)`` is the value. A format ending in a number type (``.2f``, ``.1e``, ``.1%``, ...) applies to the value
    and to the error bar alike, a sign to the value alone; any other (``>20``, ``<20s``) pads the text.

    >>> e = Estimate(0.79721, 0.00503)
    >>> print(e)
    0.797 ± 0.005
    >>> f"{e:.1%}"
    '79.7% ± 0.5%'
    >>> float(e)
    0.79721
    """

    value: float
    standard_error: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return format(self, ".3f")

    def __format__(self, spec: str) -> str:
        if not spec.endswith(_NUMBER_FORMATS):
            return format(str(self), spec)
        return f"{self.value:{spec}} ± {self.standard_error:{spec.replace('+', '')}}"

    def _repr_html_(self) -> str:
        return html_table([("value", f"{self.value:.6g}"), ("standard error", f"{self.standard_error:.2g}")])


def mean_of(values: Tensor | HasArray) -> Estimate:
    """The mean of independent values [n], n >= 2, with standard error sd / sqrt(n).

    For few values, (mean - truth) / error follows Student's law with n - 1 degrees of freedom.
    """
    values = tensor_of("values", values)
    if not isinstance(values, Tensor) or values.layout is not torch.strided or values.is_meta or values.is_complex():
        raise TypeError(f"values is {type(values).__name__}: give a dense tensor of numbers, shape [n].")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values has shape {list(values.shape)}: an error bar needs at least 2 values, shape [n].")
    values = values.cpu().double()  # in this order: Apple's GPU has no float64
    return Estimate(float(values.mean()), float(values.std() / len(values) ** 0.5))
