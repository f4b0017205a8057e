"""What results show of themselves: a few telling lines, and a table in a notebook."""

import inspect

import pytest
import torch

from toylab import metrics
from toylab.metrics import (
    AnnealedLaw,
    Autocorrelation,
    Convergence,
    ErrorDecomposition,
    ErrorTerms,
    Estimate,
    FisherByRegion,
    LikelihoodBound,
    ModeWeightTrace,
    TwoSample,
)

E = Estimate(0.79721, 0.00503)
TERMS = ErrorTerms(0.5, E, Estimate(0.0, 0.0), Estimate(1.29721, 0.00503))


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


SHOWN = {
    Estimate: (E, "0.797 ± 0.005", ["0.79721", "0.005"]),
    TwoSample: (TwoSample(0.01234, 0.5), "0.0123 (p = 0.500)", ["0.0123", "0.500"]),
    Convergence: (
        Convergence(("x1",), (1.0012,), (812.3,), (700.1,), 1000),
        "1000 draws\n         R-hat       ESS  tail ESS\nx1       1.001       812       700",
        ["1000", "x1", "R-hat 1.001, ESS 812, tail ESS 700"],
    ),
    Autocorrelation: (
        Autocorrelation(column(1.0, 0.9, 0.8)[:, None] * column(1.0, 0.5), torch.full((3, 2), 0.01)),
        "Autocorrelation\n    lag  x1             x2\n"
        "    1    0.900 ± 0.010  0.450 ± 0.010\n    2    0.800 ± 0.010  0.400 ± 0.010",
        ["0.900 ± 0.010", "0.400 ± 0.010"],
    ),
    ModeWeightTrace: (
        ModeWeightTrace(
            column(20.0, 5.0, 1.0),
            torch.stack([column(0.5, 0.3, 0.2), 1 - column(0.5, 0.3, 0.2)], 1),
            torch.full((3, 2), 0.01),
            column(0.0, 0.2, 0.0),
        ),
        "ModeWeightTrace\n    frames      3, from 20 to 1\n    decided at  5\n"
        "    mode 0      0.500 ± 0.010 -> 0.200 ± 0.010\n    mode 1      0.500 ± 0.010 -> 0.800 ± 0.010",
        ["3, from 20 to 1", "0.800 ± 0.010"],
    ),
    AnnealedLaw: (
        AnnealedLaw(column(20.0, 1.0), column(0.4, 0.2)[:, None], column(3.0, 2.0)[:, None], column(0.0), column(1.0)),
        "AnnealedLaw\n    levels  2, sigma from 20 to 1\n    mode 0  weight 0.4000 -> 0.2000, variance 2",
        ["mode 0", "0.2000"],
    ),
    FisherByRegion: (
        FisherByRegion(0.5, 0.25, 4.0, 8.0, 0.95),
        "FisherByRegion\n    overall                      0.5\n    inside, 95.0% of the mass    0.25\n"
        "    outside                      4\n    outside, mean over the area  8",
        ["95.0% of the mass", "0.25"],
    ),
    LikelihoodBound: (
        LikelihoodBound(2.8379, 0.25, 0.00125),
        "LikelihoodBound\n    entropy of the law  2.8379 nats\n    error of the score  0.25\n"
        "    error of the prior  0.00125\n    -E log q            at most 3.0892",
        ["2.8379 nats", "at most 3.0892"],
    ),
    ErrorTerms: (
        TERMS,
        "noising 0.500 + discretisation 0.797 ± 0.005 + estimation 0.000 ± 0.000 = total 1.297 ± 0.005",
        ["discretisation", "0.797 ± 0.005", "1.297 ± 0.005"],
    ),
    ErrorDecomposition: (
        ErrorDecomposition(2.0, 0.5, {"exact": TERMS}),
        "truth: 2.0000\n"
        "score              noising       discretisation           estimation                total\n"
        "exact                0.500        0.797 ± 0.005        0.000 ± 0.000        1.297 ± 0.005",
        ["2.0000", "exact", "total 1.297 ± 0.005"],
    ),
}


def test_every_result_shows_itself():
    assert {kind for kind in map(metrics.__dict__.get, metrics.__all__) if inspect.isclass(kind)} == set(SHOWN)


@pytest.mark.parametrize(("result", "text", "cells"), SHOWN.values(), ids=lambda value: "")
def test_lines_and_table(result, text, cells):
    assert str(result) == text
    assert "tensor(" not in repr(result)
    table = result._repr_html_()
    assert table.startswith("<table>")
    assert all(cell in table for cell in cells)


def test_of_many_modes_ten_are_shown():
    weights = torch.full((2, 25), 0.04)
    shown = str(ModeWeightTrace(column(1.0, 0.5), weights, weights, column(0.0, 0.0)))
    assert len(shown.splitlines()) == 14
    assert shown.endswith("15 more modes")
