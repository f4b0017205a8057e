"""Means over seeds, their errors and the axes of xarray, against what they are by definition."""

import itertools

import numpy as np
import pandas as pd
import pytest

from toylab.study import summary, to_xarray

NAMES = ["law", "sigma", "seed"]


def table(rows=None):
    """Two laws, out of alphabetical order, three levels, falling, and four seeds."""
    grid = [*itertools.product(["two modes", "ring"], [1.0, 0.5, 0.1], range(4))]
    made = pd.DataFrame(grid, columns=NAMES)
    stream = np.random.default_rng(0)
    made["w2"] = stream.normal(size=len(made))
    made["kept"] = stream.random(len(made)) < 0.5
    made["note"] = "x"
    made = made if rows is None else made.iloc[rows].reset_index(drop=True)
    made.attrs["grid"] = NAMES
    return made


def test_mean_and_standard_error_are_those_of_numpy():
    found, data = summary(table()), table()
    assert [*found.columns] == ["law", "sigma", "n_seed", "w2", "w2_error", "kept", "kept_error"]
    assert [*zip(found["law"], found["sigma"], strict=True)] == [
        *itertools.product(["two modes", "ring"], [1.0, 0.5, 0.1])
    ]
    for _, row in found.iterrows():
        x = data[(data["law"] == row["law"]) & (data["sigma"] == row["sigma"])]
        assert row["n_seed"] == 4
        for name in ("w2", "kept"):
            values = x[name].to_numpy(float)
            assert row[name] == pytest.approx(np.mean(values), rel=1e-14)
            assert row[f"{name}_error"] == pytest.approx(np.std(values, ddof=1) / 2, rel=1e-14)


def test_what_is_missing_is_counted_and_nan_stays_nan():
    data = table([0, 1, 2, 4, 8, 9, 10, 11])
    data.loc[data.index[-1], "w2"] = np.nan
    found = summary(data)
    assert [*found["n_seed"]] == [3, 1, 4]
    assert found["w2"].isna().tolist() == [False, False, True]
    assert found["w2_error"].isna().tolist() == [False, True, True]


def test_over_one_name_after_the_other():
    once = summary(table())[["law", "sigma", "w2"]]
    once.attrs["grid"] = ["law", "sigma"]
    twice = summary(once, over="sigma")
    last = summary(twice[["law", "w2"]], over="law")
    assert [*twice["law"]] == ["two modes", "ring"]
    assert last["w2"][0] == pytest.approx(table()["w2"].mean(), rel=1e-13)


def test_the_axes_are_the_grid_in_its_order():
    data = to_xarray(table())
    assert dict(data.sizes) == {"law": 2, "sigma": 3, "seed": 4}
    assert data["law"].values.tolist() == ["two modes", "ring"]
    assert data["sigma"].values.tolist() == [1.0, 0.5, 0.1]
    np.testing.assert_array_equal(data["w2"].values.ravel(), table()["w2"])
    some = to_xarray(table([0, 23]))
    assert dict(some.sizes) == {"law": 2, "sigma": 2, "seed": 2}
    assert int(some["w2"].notnull().sum()) == 2


def test_a_table_from_elsewhere_is_told():
    for function in (summary, to_xarray):
        for given in (pd.DataFrame({"w2": [1.0]}), table()[["w2"]], 3):
            with pytest.raises(TypeError, match="does not tell its grid: give the table from run"):
                function(given)
    with pytest.raises(ValueError, match="over is 'seeds': give a name of the grid, one of law, sigma, seed"):
        summary(table(), over="seeds")
    with pytest.raises(ValueError, match=r"the table has w2_error, .*: rename it"):
        summary(table().assign(w2_error=0.1))
