"""The search for a wrong value: ``python -m tests.truth.search --seed 0 --cases 4000 --processes 2``.

Random cases (module ``cases``) of every family of laws are evaluated by toylab, in batches as users do, and compared
with the reference (module ``reference``) to the tolerance that float64 allows. Every counter-example is printed as a
line of JSON and kept; the suite runs the kept ones for ever (``test_counterexamples.py``). An error or nan counts as a
counter-example, too, but for one kind of refusal: nan with a warning, where float64 knows the weights of the Gaussians
to worse than 1e-6 (e of module ``value``: log p is below some -1e8).
"""

import argparse
import json
import math
import multiprocessing
import sys
import time
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import mpmath as mp
import numpy as np
import torch

from tests.truth import cases, reference
from tests.truth.integral import GiveUp
from tests.truth.value import DIGITS, Value, error_of_a_gaussian, tolerance

KEPT = Path(__file__).parent / "counterexamples.json"
UNDETERMINED = 1e-6
QUANTITIES = ("log_p", "score", "div")


class Outcome(NamedTuple):
    """What came out at one point."""

    ratio: dict[str, float]  # error / tolerance of each quantity
    found: dict | None  # the case, if it is a counter-example
    unknown: bool = False  # the reference gave up
    refused: bool = False  # nan with a warning, where float64 cannot know better


def toylab_values(law: reference.Law, x: np.ndarray, sigma: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """toylab's answers for a batch; all equal levels go in as a number, as most users write them."""
    density, kind = cases.build(law), getattr(torch, dtype)
    points = torch.tensor(x, dtype=kind)
    level = float(sigma[0]) if (sigma == sigma[0]).all() else torch.tensor(sigma, dtype=kind)
    log_p, score = density.log_prob(points, level), density.score(points, level)
    both = density.log_prob_and_score(points, level)
    if not torch.allclose(both[0], log_p, rtol=1e-6, equal_nan=True):
        log_p = torch.full_like(log_p, math.nan)  # two answers to one question: neither counts
    values = {"log_p": log_p, "score": score, "div": density.divergence(points, level)}
    return {name: value.double().numpy() for name, value in values.items()}


def ratios(got: dict[str, np.ndarray], want: Value, dtype: str) -> dict[str, float]:
    """Error over tolerance of each quantity at one point; inf for nan."""
    if not mp.isfinite(want.log_p):  # outside the support log p is -inf, and there is no score
        right = got["log_p"] == -math.inf
        return dict.fromkeys(QUANTITIES, 0.0 if right else math.inf)
    allowed = tolerance(want, dtype)
    with mp.workdps(DIGITS):
        errors = {
            "log_p": _distance([got["log_p"]], [want.log_p]),
            "score": _distance(got["score"], [want.s1, want.s2]),
            "div": _distance([got["div"]], [want.div]),
        }
    return {
        name: math.inf if math.isnan(error) else error / getattr(allowed, name) if error else 0.0
        for name, error in errors.items()
    }


def _distance(got: np.ndarray, want: list[mp.mpf]) -> float:
    if not np.isfinite(got).all():
        return math.nan
    return float(mp.sqrt(sum((mp.mpf(float(a)) - b) ** 2 for a, b in zip(got, want, strict=True))))


def judge(batch: cases.Batch) -> list[Outcome]:
    """The batch evaluated, and each point compared."""
    error, told = "", []
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            values = toylab_values(batch.law, batch.x, batch.sigma, batch.dtype)
    except Exception as raised:  # noqa: BLE001  (whatever it is, it is a finding)
        error = f"{type(raised).__name__}: {raised}".splitlines()[0]
        nan = np.full(len(batch.x), math.nan)
        values = {"log_p": nan, "score": np.stack([nan, nan], -1), "div": nan}
    outcomes = []
    for i, (point, level) in enumerate(zip(batch.x.tolist(), batch.sigma.tolist(), strict=True)):
        got = {name: values[name][i] for name in QUANTITIES}
        try:
            want = reference.evaluate(batch.law, tuple(point), level)
        except GiveUp:
            outcomes.append(Outcome({}, None, unknown=True))
            continue
        if told and np.isnan(got["log_p"]) and error_of_a_gaussian(want) > UNDETERMINED:
            outcomes.append(Outcome({}, None, refused=True))
            continue
        ratio = ratios(got, want, batch.dtype)
        if level == 0 and max(ratio.values()) > 1:
            ratio = _across_an_edge(batch, point, got, want) or ratio
        elif max(ratio.values()) > 1 and np.isfinite([*got["score"], got["log_p"], got["div"]]).all():
            ratio = _at_a_tie(batch, point, level, got, want) or ratio
        wrong = [name for name in QUANTITIES if not ratio[name] <= 1]
        outcomes.append(Outcome(ratio, _case(batch, i, got, want, ratio, wrong, error) if wrong else None))
    return outcomes


def _across_an_edge(batch: cases.Batch, point: list[float], got: dict, want: Value) -> dict | None:
    """Clean laws jump: an answer that is right for a point which rounding cannot tell from this one is right."""
    step = 8 * float(torch.finfo(getattr(torch, batch.dtype)).eps * want.X)
    for across in (-step, 0.0, step):
        for up in (-step, 0.0, step):
            ratio = ratios(got, reference.evaluate(batch.law, (point[0] + across, point[1] + up), 0.0), batch.dtype)
            if max(ratio.values()) <= 1:
                return ratio
    return None


def _at_a_tie(batch: cases.Batch, point: list[float], level: float, got: dict, want: Value) -> dict | None:
    """Beside a tie of modes the score turns over a distance that rounding of coordinates, u X, may exceed.

    Then an answer that is right for a point within u X of this one is right. Along the direction in which it differs
    the score rises (towards the mode that gains), so that the place where it is what was given is found by bisection.
    """
    miss = [mp.mpf(float(g)) - w for g, w in zip(got["score"], (want.s1, want.s2), strict=True)]
    size = mp.hypot(*miss)
    if size == 0:
        return None
    along = [part / size for part in miss]
    goal = sum(mp.mpf(float(g)) * a for g, a in zip(got["score"], along, strict=True))
    reach = 2 * mp.mpf(float(np.finfo(batch.dtype).eps)) * want.X
    low, high = -reach, reach

    def at(t: mp.mpf) -> Value:
        return reference.evaluate(batch.law, tuple(mp.mpf(c) + t * a for c, a in zip(point, along, strict=True)), level)

    for _ in range(60):
        middle = (low + high) / 2
        value = at(middle)
        if value.s1 * along[0] + value.s2 * along[1] < goal:
            low = middle
        else:
            high = middle
    ratio = ratios(got, value, batch.dtype)
    return ratio if max(ratio.values()) <= 1 else None


def _case(batch: cases.Batch, i: int, got: dict, want: Value, ratio: dict, wrong: list[str], error: str) -> dict:
    found = {
        "law": batch.law,
        "x": batch.x[i].tolist(),
        "sigma": float(batch.sigma[i]),
        "dtype": batch.dtype,
        "wrong": {name: float(f"{ratio[name]:.3g}") for name in wrong},
        "got": [_number(got["log_p"]), *map(_number, got["score"]), _number(got["div"])],
        "want": [mp.nstr(part, 20) for part in (want.log_p, want.s1, want.s2, want.div)],
    }
    return found | ({"error": error} if error else {})


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))


def run_batch(seed: int, index: int, families: tuple[str, ...]) -> tuple[str, list[Outcome], float]:
    """One batch, whose numbers depend on the seed and its index alone."""
    torch.set_num_threads(1)
    begin = time.process_time()
    rng = np.random.default_rng([seed, index])
    batch = cases.draw(rng, families[index % len(families)])
    return batch.family, judge(batch), time.process_time() - begin


class Report:
    """Counts, worst errors and counter-examples per family."""

    def __init__(self) -> None:
        self.cases: dict[str, int] = defaultdict(int)
        self.unknown: dict[str, int] = defaultdict(int)
        self.refused: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self.worst: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(QUANTITIES, 0.0))
        self.found: dict[str, list[dict]] = defaultdict(list)

    def add(self, family: str, outcomes: list[Outcome], seconds: float) -> None:
        """The outcomes of a batch."""
        self.seconds[family] += seconds
        for outcome in outcomes:
            self.cases[family] += 1
            self.unknown[family] += outcome.unknown
            self.refused[family] += outcome.refused
            for name, ratio in outcome.ratio.items():
                self.worst[family][name] = max(self.worst[family][name], ratio)
            if outcome.found:
                self.found[family].append(outcome.found)

    def table(self) -> str:
        """One line per family: errors are in units of the tolerance."""
        titles = ("cases", "wrong", "refused", "unknown", "ms/case")
        lines = [f"{'family':18} " + " ".join(f"{title:>7}" for title in titles) + "   worst error / tolerance"]
        for family, n in sorted(self.cases.items()):
            worst = "  ".join(f"{name} {ratio:.2g}" for name, ratio in self.worst[family].items())
            counts = n, len(self.found[family]), self.refused[family], self.unknown[family]
            pace = 1000 * self.seconds[family] / n
            lines.append(f"{family:18} " + " ".join(f"{count:7}" for count in counts) + f" {pace:7.0f}   {worst}")
        return "\n".join(lines)


def search(
    seed: int, n_cases: int, *, processes: int = 1, families: tuple[str, ...] = cases.FAMILIES, verbose: bool = False
) -> Report:
    """The report of ``n_cases`` random cases."""
    report = Report()
    n_batches = math.ceil(n_cases / cases.POINTS_PER_BATCH)

    def take(result: tuple[str, list[Outcome], float]) -> None:
        report.add(*result)
        if verbose:
            for found in (outcome.found for outcome in result[1] if outcome.found):
                print(json.dumps(found), flush=True)

    if processes == 1:
        for index in range(n_batches):
            take(run_batch(seed, index, families))
        return report
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run_batch, seed, index, families) for index in range(n_batches)]
        begin, told = time.perf_counter(), 0.0
        for done, future in enumerate(as_completed(futures), 1):
            take(future.result())
            if verbose and (now := time.perf_counter() - begin) > told + 30:
                told = now
                print(f"# {done * cases.POINTS_PER_BATCH} of {n_cases} cases in {now:.0f} s", flush=True)
    return report


def keep(report: Report, path: Path, most: int) -> int:
    """Append the worst counter-examples of each family to the file; how many."""
    kept = json.loads(path.read_text()) if path.exists() else []
    before = len(kept)
    for found in report.found.values():
        worst_first = sorted(found, key=lambda case: -max(case["wrong"].values()))
        kept += [case for case in worst_first[:most] if case not in kept]
    if len(kept) > before:
        path.write_text("[\n" + ",\n".join(json.dumps(case) for case in kept) + "\n]\n")
    return len(kept) - before


def main() -> int:
    """Search, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--cases", type=int, default=4000, help="cases per seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=cases.FAMILIES, default=list(cases.FAMILIES), metavar="FAMILY")
    parser.add_argument("--keep", type=Path, default=KEPT, help="file that counter-examples are appended to")
    parser.add_argument("--most", type=int, default=20, help="counter-examples kept of each family, the worst first")
    arguments = parser.parse_args()
    n_found = 0
    for seed in arguments.seed:
        begin = time.perf_counter()
        report = search(
            seed, arguments.cases, processes=arguments.processes, families=tuple(arguments.only), verbose=True
        )
        n_kept = keep(report, arguments.keep, arguments.most)
        found = sum(map(len, report.found.values()))
        print(f"# seed {seed}: {arguments.cases} cases in {time.perf_counter() - begin:.0f} s")
        print(report.table())
        print(f"# {found} counter-examples, {n_kept} of them new in {arguments.keep}", flush=True)
        n_found += found
    return min(n_found, 1)


if __name__ == "__main__":
    sys.exit(main())
