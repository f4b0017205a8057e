"""The numbers of the experiment ``posterior`` as Markdown."""

from collections.abc import Iterator

from toylab.experiments.calibration import QUANTITIES
from toylab.experiments.measured_samplers import METHODS
from toylab.experiments.posterior import EXACT, PARTS
from toylab.experiments.result import Result
from toylab.experiments.setting import Numbers

KINDS = ("exact", "learned")


def tables(result: Result) -> str:
    """All of them, one below the other."""
    return "\n\n".join(f(result.numbers) for f in (methods, biases, ledger, calibration, error_bars))


def methods(numbers: Numbers) -> str:
    """Of every method, score and number of evaluations: mean ± standard deviation over the clouds."""
    calibrated = numbers["calibration"]
    error = 100 * calibrated["standard error"]

    def row(name: str, kind: str, steps: str, found: Numbers, covered: Numbers | None) -> list[str]:
        share = f"{100 * covered['density']['covered']:.1f} ± {error:.1f} %" if covered else ""
        cells = [_cell(found[key], digits) for key, digits in (("weights", 3), ("mean", 2), ("variance", 3), ("kl", 3))]
        return [name, kind, steps, *cells, share, f"{100 * found['lost']['mean']:.1f} %"]

    def rows() -> Iterator[list[str]]:
        yield row(EXACT, "", "", numbers[EXACT], calibrated["posterior"])
        for kind in KINDS:
            for name, of_steps in numbers[kind].items():
                for steps in map(str, numbers["budgets"]):
                    yield row(name, kind, steps, of_steps[steps], calibrated[kind].get(name, {}).get(steps))

    head = [
        "", "score", "evaluations", "error of the weights", "distance of the mean", "variance, of the true one",
        "KL, nats", "in the 90 % set", "lost",
    ]  # fmt: skip
    return _markdown(head, rows())


def biases(numbers: Numbers) -> str:
    """What each method takes for true, and what comes of it with the exact score and small steps."""
    head = [
        f"exact score, {numbers['limit']} steps", "takes for true",
        f"in modes of weight < .1 (true: {numbers['truth']['unlikely']:.3f})",
        "variance in a mode along A, of the true one", "across A", "KL, nats",
    ]  # fmt: skip
    rows = [(name, method.bias, numbers["exact"][name][str(numbers["limit"])]) for name, method in METHODS.items()]
    keys = (("unlikely", 3), ("within", 2), ("across", 2), ("kl", 3))
    return _markdown(
        head,
        [
            [name, bias, *(_cell(found[key], n) for key, n in keys)]
            for name, bias, found in [(EXACT, "", numbers[EXACT]), *rows]
        ],
    )


def ledger(numbers: Numbers) -> str:
    """The errors with learned scores in parts, with their signs."""
    rows = [
        [name, label, *(_cell(parts[part], 3, signed=part != "all") for part in (*PARTS, "all"))]
        for measure, label in (("weights", "weights"), ("kl", "KL"))
        for name, parts in numbers["ledger"][measure].items()
    ]
    return _markdown([f"{numbers['ledger steps']} steps", "error of the", *PARTS, "together"], rows)


def calibration(numbers: Numbers) -> str:
    """How many true points lie in the 90 % sets, and the p-values of their ranks."""
    steps, found = str(numbers["ledger steps"]), numbers["calibration"]
    rows = [(EXACT, "", found["posterior"])]
    rows += [(name, kind, of_steps[steps]) for kind in KINDS for name, of_steps in found[kind].items()]
    cells = [
        [name, kind, *(f"{100 * row[key]['covered']:.1f} %, p = {row[key]['p']:.1g}" for key in QUANTITIES)]
        for name, kind, row in rows
    ]
    return _markdown([f"{steps} steps", "score", "ranked by the density", "along A", "across A"], cells)


def error_bars(numbers: Numbers) -> str:
    """How often SMC's intervals hold the truth."""
    found = numbers["error bars"]
    error = 100 * found["standard error"]
    rows = [
        [str(n), *(f"{100 * found[str(n)][key]:.1f} ± {error:.1f} %" for key in ("weights", "mean", "evidence"))]
        for n in numbers["budgets"]
    ]
    return _markdown(["steps", "weights of the modes", "mean", "evidence"], rows)


def _markdown(head: list[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _cell(of_clouds: Numbers, digits: int, *, signed: bool = False) -> str:
    """Mean ± standard deviation over the clouds; a cloud that is lost has no moments."""
    if of_clouds["mean"] is None:
        return "–"
    sign = "+" if signed else ""
    return f"{of_clouds['mean']:{sign}.{digits}f} ± {of_clouds['std']:.{digits}f}"
