"""The ``toylab`` command: argument parsing and printing; here alone strings become objects."""

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

import toylab
from toylab.classroom import handout, lab, lessons

_DRAWN_BY_DEFAULT = ("gallery", "fields", "estimation", "annealing")
_EXPERIMENTS = (  # all but the first are drawn when asked for
    *_DRAWN_BY_DEFAULT, "reference", "blame", "bugs", "samplers", "likelihood", "diffusion", "anatomy",
    "failures", "gradients",
)  # fmt: skip
_LAWS = ("two_modes", "ring", "checkerboard")
_COMPARISONS = (
    "quality", "step", "seeds", "mala", "langevin", "annealed", "densities", "import", "figures", "gpu", "scaling",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 done, 2 for a request that cannot be met, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except UsageError as error:
        print(f"toylab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("toylab: interrupted; nothing was written.", file=sys.stderr)
        return 130


class UsageError(Exception):
    """A request that cannot be met, told in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """One line on standard error, exit status 2."""
        print(f"toylab: {message}. Try: {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="toylab",
        description=toylab.__doc__,
        epilog="example:\n  toylab figures --only annealing --out figures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"toylab {toylab.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    figures = commands.add_parser(
        "figures",
        help="draw the gallery of densities and the three reference figures, and write their numbers",
        description="Draw the gallery and the reference figures (PNG and SVG) and write numbers.json beside them. "
        "The other figures are drawn by --only; on two cores bugs and reference take seconds, samplers ten minutes, "
        "the others one to four.",
        epilog="example:\n  toylab figures --only annealing --out figures --seed 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    figures.add_argument("--only", choices=_EXPERIMENTS, help="draw this figure alone")
    figures.add_argument(
        "--out", type=Path, default=Path("figures"), metavar="DIR", help="folder to write to (figures)"
    )
    figures.add_argument("--seed", type=_seed, default=0, metavar="N", help="random seed, 0 to 10^12 (0)")
    figures.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    figures.add_argument("--quiet", action="store_true", help="no progress bars, no report")
    figures.set_defaults(run=_figures)
    bench = commands.add_parser(
        "bench",
        help="measure: every objective on three laws, or the speed beside other packages",
        description="Measure, and write the table and its numbers.",
        epilog="example:\n  toylab bench speed --only mala",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    benches = bench.add_subparsers(title="what to measure", required=True, metavar="what")
    objectives = benches.add_parser(
        "objectives",
        help="train every objective on three laws over several seeds, and write the table",
        description="Train every objective on three laws over several seeds, measured exactly: objectives.json, .npz, "
        ".md (the table) and .png. The table in the documentation takes twenty minutes on two cores.",
        epilog="example:\n  toylab bench objectives --seeds 2 --law two_modes --out bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    objectives.add_argument("--law", choices=_LAWS, help="this law alone")
    objectives.add_argument("--seeds", type=_some, default=5, metavar="N", help="trainings of each objective (5)")
    objectives.add_argument("--seed", type=_seed, default=0, metavar="N", help="random seed, 0 to 10^12 (0)")
    objectives.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    objectives.set_defaults(run=_bench_objectives)
    speed = benches.add_parser(
        "speed",
        help="time our code beside other packages on the CPU, and how it scales",
        description="Time our code beside other packages on the CPU, in turns, and how it scales: speed.json "
        "and speed.md (the tables). A package that is not installed is skipped with a line; "
        '`pip install -e ".[bench]"` brings all. In full it takes a quarter of an hour on two cores.',
        epilog="example:\n  toylab bench speed --only mala --share 0.1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    speed.add_argument("--only", choices=_COMPARISONS, help="this comparison alone")
    speed.set_defaults(run=_bench_speed)
    for measured in (objectives, speed):
        measured.add_argument(
            "--share", type=_share, default=1.0, metavar="F", help="share of the steps, for a quick look (1)"
        )
        measured.add_argument(
            "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder to write to (bench)"
        )
        measured.add_argument("--quiet", action="store_true", help="no progress bar, no table")
    _lab_parser(commands)
    _handout_parser(commands)
    return parser


def _lab_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "lab",
        help="open the notebooks in JupyterLab, on this machine alone or for a class",
        description="Open the notebooks in JupyterLab at their first page. It listens to this machine alone and lets "
        "in whoever has its token, which is part of the address that is printed. Ctrl-C ends it.",
        epilog="example:\n  toylab lab --no-browser --port 8890",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", nargs="?", type=Path,
        help=f"where the notebooks are (those of this checkout; without one, copied to {lessons.OWN_COPY})",
    )  # fmt: skip
    parser.add_argument("--port", type=_port, metavar="N", help="port to listen on (the first free one from 8888)")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    parser.add_argument(
        "--share",
        action="store_true",
        help="listen to the network, for a class, behind a password: asked for, or read from "
        f"{lab.PASSWORD_VARIABLE}. Whoever has it can run any code as you",
    )
    parser.set_defaults(run=_lab)


def _handout_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "handout",
        help="write copies of the notebooks without the solutions of their exercises",
        description="Write copies of the notebooks in which each solution has given way to an empty place for the "
        "answer. All else is the same, outputs and pictures too.",
        epilog="example:\n  toylab handout class",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--notebooks", type=Path, metavar="FOLDER", help="where the notebooks are (those of this checkout or package)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=_handout)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a whole number from 1 to 65535")
    return int(text)


def _some(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seeds: give a whole number from 1 to 1000")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give a number above 0 and up to 1")
    return share


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > 10**12:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number from 0 to 10^12")
    return int(text)


def _figures(options: argparse.Namespace) -> int:
    device = _device(options.device)
    _writable(options.out)
    # matplotlib is heavy: loaded once the request is known to be sound, and without a window system
    import matplotlib

    matplotlib.use("Agg")
    from toylab import experiments

    chosen = [options.only] if options.only else list(_DRAWN_BY_DEFAULT)
    numbers, files = _numbers_there(options.out), {}
    for name in chosen:
        start = time.perf_counter()
        recipe = getattr(experiments, name)
        result = recipe.run(seed=options.seed, device=device, progress=not options.quiet)
        numbers[name] = {**result.numbers, "made with": _made_with(options.seed, device, time.perf_counter() - start)}
        figure = recipe.draw(result)
        for suffix in ("png", "svg"):
            files[f"{name}.{suffix}"] = _rendered(figure, suffix)
        matplotlib.pyplot.close(figure)
    files["numbers.json"] = (json.dumps(numbers, indent=2) + "\n").encode()
    _write(options.out, files)
    if not options.quiet:
        print("\n".join(str(options.out / name) for name in files))
    return 0


def _bench_objectives(options: argparse.Namespace) -> int:
    device = _device(options.device)
    _writable(options.out)
    import matplotlib

    matplotlib.use("Agg")
    from toylab.experiments import Result, objectives

    start = time.perf_counter()
    result = objectives.run(
        seed=options.seed, n_seeds=options.seeds, device=device, progress=not options.quiet, share=options.share,
        only=None if options.law is None else (options.law,),
    )  # fmt: skip
    made = {"made with": _made_with(options.seed, device, time.perf_counter() - start)}
    files = {"objectives.md": (objectives.table(result) + "\n").encode()}
    if result.arrays:
        files["objectives.png"] = _rendered(objectives.draw(result), "png")
    _write(options.out, files)
    try:
        Result(result.name, {**result.numbers, **made}, result.arrays).save(options.out)
    except OSError as error:
        raise UsageError(f"--out {options.out}: cannot write there ({error.strerror}). Give another folder.") from None
    if not options.quiet:
        print(objectives.table(result))
    return 0


def _bench_speed(options: argparse.Namespace) -> int:
    _writable(options.out)
    from toylab.bench import speed

    found = speed.run(only=options.only, share=options.share, progress=not options.quiet)
    text = speed.tables(found) + "\n"
    numbers = json.dumps(found.to_json(), indent=2) + "\n"
    _write(options.out, {"speed.md": text.encode(), "speed.json": numbers.encode()})
    if not options.quiet:
        print(text, end="")
    return 0


def _lab(options: argparse.Namespace) -> int:
    try:
        lab.require_jupyterlab()
        folder, copied = lessons.working_folder(options.folder)
        password = None
        if options.share:
            lab.refuse_root()
            print(lab.WHAT_SHARING_EXPOSES, flush=True)
            password = lab.read_password()
        server = lab.prepare(folder, password=password, port=options.port, browser=not options.no_browser)
    except (ValueError, ModuleNotFoundError) as error:
        raise UsageError(str(error)) from None
    if copied:
        print(copied, flush=True)
    print(f"JupyterLab is at {lab.address(server)}\n(Ctrl-C ends it)", flush=True)
    if options.share:
        print(f"For the class, with the password: {lab.class_address(server)}", flush=True)
    lab.run(server)
    return 0


def _handout(options: argparse.Namespace) -> int:
    try:
        written = handout.write(lessons.source_folder(options.notebooks), options.out, force=options.force)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{options.out}: cannot write there ({error.strerror}). Give another folder.") from None
    print("\n".join(map(str, written)))
    return 0


def _made_with(seed: int, device: str, seconds: float) -> dict:
    return {
        "seed": seed,
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "toylab": toylab.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu_threads": torch.get_num_threads(),
        "seconds": seconds,
    }


def _numbers_there(folder: Path) -> dict:
    """The numbers of the figures already in the folder, which ``--only`` leaves as they are; none if unreadable."""
    try:
        there = json.loads((folder / "numbers.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: there[name] for name in _EXPERIMENTS if name in there} if isinstance(there, dict) else {}


def _device(name: str) -> str:
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda: this torch sees no CUDA device. Use --device cpu, or install a CUDA build of torch."
        )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def _writable(folder: Path) -> None:
    """Raise unless files can be written to the folder, or it can be made; leaves nothing behind."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot write there ({error.strerror}). Give another folder.") from None


def _rendered(figure, suffix: str) -> bytes:  # noqa: ANN001
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    return buffer.getvalue()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Each file whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            part = folder / f".{name}.part"
            part.write_bytes(content)
            os.replace(part, folder / name)
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot write there ({error.strerror}). Give another folder.") from None
