"""The ``toylab`` command: argument parsing and printing; the only place where strings become objects.

All subcommands are in this one file: each is a few lines of options and a call of the package that does the work.
"""

import argparse
import importlib
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import toylab
from toylab._internal.folder import require_writable, write_whole
from toylab._internal.threads import wait_passively
from toylab.classroom import handout, lab, lessons

if TYPE_CHECKING:
    from toylab.experiments.experiment import Experiment
    from toylab.studies import Study


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0 done, 2 for a request that cannot be met, 130 after Ctrl-C; of ``bench``, that of the
        benchmarks, which is 1 if some rows failed.
    """
    wait_passively()  # before torch is loaded, and so the modules that need it are imported where they are used
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options) or 0
    except UsageError as error:
        print(f"toylab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("toylab: interrupted; nothing was written.", file=sys.stderr)
        return 130
    return status


class UsageError(Exception):
    """A request that cannot be met; the message is one line."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """One line on standard error, exit status 2."""
        print(f"toylab: {message}. Try: {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="toylab",
        description=toylab.__doc__,
        epilog="example:\n  toylab figures --only annealing --out figures",
    )
    parser.add_argument("--version", action="version", version=f"toylab {toylab.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_figures(
        commands.add_parser(
            "figures",
            help="draw the gallery of densities and the three reference figures, and write their numbers",
            description="Draw the gallery and the reference figures (PNG and SVG) and write numbers.json beside them. "
            "The other figures are drawn with --only; on two cores bugs and reference\ntake seconds, samplers ten "
            "minutes, posterior six, objectives forty, the others one to four.",
            epilog="example:\n  toylab figures --only annealing --out figures --seed 1",
        )
    )
    _add_lab(
        commands.add_parser(
            "lab",
            help="open the notebooks in JupyterLab, on this machine alone or for a class",
            description="Open the notebooks in JupyterLab at their first page. It listens to this machine alone and "
            "lets in whoever has its token, which is part of the address that is printed. Ctrl-C ends it.",
            epilog="example:\n  toylab lab --no-browser --port 8890",
        )
    )
    _add_handout(
        commands.add_parser(
            "handout",
            help="write copies of the notebooks without the solutions of their exercises",
            description="Write copies of the notebooks in which each solution is replaced by an empty place for the "
            "answer. Everything else is unchanged, outputs and pictures included.",
            epilog="example:\n  toylab handout class",
        )
    )
    _add_live(
        commands.add_parser(
            "live",
            help="write the live lab: pages that open in any browser, without Python and without a network",
            description="Write the instruments of the live lab, an HTML file each. A file opens by a double click, "
            "from a USB stick\ntoo; nothing is installed, and nothing is loaded from a network.",
            epilog="example:\n  toylab live pages",
        )
    )
    _add_papers(
        commands.add_parser(
            "papers",
            help="run published toy results in their settings, beside the exact value or the floor",
            description="Run published toy results in their settings and print each beside the exact value, or the "
            "floor that points of the law\nitself have; papers.json and papers.md hold the same. All of them take some "
            "ten minutes on two cores.",
            epilog="example:\n  toylab papers --only forty_modes --out papers",
        )
    )
    _add_study(
        commands.add_parser(
            "study",
            help="run a function over a grid of settings, on all cores or a cluster",
            description="Call the function cell of FILE.py for each combination of its grid, and write the table to "
            "DIR/table.parquet.\nThe same line goes on where a run was killed. In place of FILE.py "
            "a study of ours can be named,\nobjectives or samplers, which also writes table.md and figure.png.",
            epilog="example:\n  toylab study sweep.py --out sweep --workers 4",
        )
    )
    _add_bench(
        commands.add_parser(
            "bench",
            help="measure speed and memory beside other packages, in a checkout of the source",
            description="Measure, and write the numbers: `python -m benchmarks` with the same words, in the checkout "
            "that\ntoylab runs from. Without a word, what can be measured is listed.",
            epilog="example:\n  toylab bench speed --only mala --share 0.1",
        )
    )
    return parser


def _add_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="list the figures, one per line, and draw nothing")
    parser.add_argument("--only", type=_figure, metavar="NAME", help="draw only this figure, one that --list names")
    parser.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="folder to write to (figures)")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="random seed, 0 to 10^12 (0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    parser.add_argument("--density", metavar="NAME", help="with --only objectives or samplers: for this density only")
    parser.add_argument("--quick", action="store_true", help="a quick look, in seconds: far too small to be quoted")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no report")
    parser.set_defaults(run=_figures)


def _add_lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        help=f"where the notebooks are (those of this checkout; without one, copied to {lessons.OWN_COPY})",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="port to listen on (the first free one from 8888)")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    parser.add_argument(
        "--share",
        action="store_true",
        help="listen to the network, for a class, behind a password: asked for, or read from "
        f"{lab.PASSWORD_VARIABLE}. Whoever has it can run any code as you",
    )
    parser.set_defaults(run=_lab)


def _add_handout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--notebooks", type=Path, metavar="FOLDER", help="where the notebooks are (those of this checkout or package)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=_handout)


def _add_live(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.set_defaults(run=_live)


def _add_papers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="list the papers, one per line, and run nothing")
    parser.add_argument("--only", type=_paper, metavar="NAME", help="run only this one, one that --list names")
    parser.add_argument("--out", type=Path, default=Path("papers"), metavar="DIR", help="folder to write to (papers)")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="random seed, 0 to 10^12 (0)")
    parser.add_argument("--quick", action="store_true", help="a quick look: far too small to be quoted")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no report")
    parser.set_defaults(run=_papers)


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE.py", help="a file that defines cell and grid, or the name of a study of ours"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the study")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes on this machine (one for each core)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="the Dask scheduler of a cluster instead")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier run")
    parser.add_argument("--list", action="store_true", help="list the cells, done, failed or missing, and run nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no report")
    parser.set_defaults(run=_study)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", metavar="WHAT", help="what to measure")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options: toylab bench WHAT --help names them")
    parser.set_defaults(run=_bench)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a whole number from 1 to 65535")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > 10**12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: give a whole number from 0 to 10^12")
    return int(text)


def _figure(text: str) -> str:
    from toylab.experiments import EXPERIMENTS

    if text not in EXPERIMENTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a figure: give one of {', '.join(EXPERIMENTS)}")
    return text


def _paper(text: str) -> str:
    from toylab.papers import PAPERS

    if text not in PAPERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a paper: give one of {', '.join(PAPERS)}")
    return text


def _device(name: str) -> str:
    from toylab._internal import devices

    if name == "cuda" and not devices.cuda_is_there():
        raise UsageError(
            "--device cuda: this torch sees no CUDA device. Use --device cpu, or install a CUDA build of torch."
        )
    return devices.chosen(name)


@contextmanager
def _writing_to(target: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{target}: cannot write there ({error.strerror}). Give another folder.") from None


def _experiments() -> "dict[str, Experiment]":
    """All of them; matplotlib, which is heavy, is loaded only now, and without a window system."""
    import matplotlib

    matplotlib.use("Agg")
    from toylab.experiments import EXPERIMENTS

    return EXPERIMENTS


def _figures(options: argparse.Namespace) -> None:
    if options.list:
        print("\n".join(f"{name:<12}{experiment.summary}" for name, experiment in _experiments().items()))
        return
    device = _device(options.device)
    with _writing_to(f"--out {options.out}"):
        require_writable(options.out)
    experiments = _experiments()
    from toylab.experiments.run_and_draw import run_and_draw

    densities = None
    if options.density is not None:
        known = experiments[options.only].densities if options.only else ()
        if options.density not in known:
            raise UsageError(
                f"--density {options.density}: "
                + (f"give one of {', '.join(known)}." if known else "it goes with --only objectives or samplers.")
            )
        densities = [options.density]
    names = [options.only] if options.only else [name for name, e in experiments.items() if e.drawn_by_default]
    numbers = {name: kept for name, kept in _numbers_there(options.out).items() if name in experiments}
    files: dict[str, bytes] = {}
    for name in names:
        numbers[name], of_this = run_and_draw(
            name, experiments[name], seed=options.seed, device=device, progress=not options.quiet,
            quick=options.quick, densities=densities,
        )  # fmt: skip
        files.update(of_this)
    files["numbers.json"] = (json.dumps(numbers, indent=2) + "\n").encode()
    with _writing_to(f"--out {options.out}"):
        write_whole(options.out, files)
    if not options.quiet:
        print("\n".join(str(options.out / name) for name in files))


def _numbers_there(folder: Path) -> dict[str, Any]:
    """The numbers of the figures already in the folder, which ``--only`` leaves as they are; none if unreadable."""
    try:
        there = json.loads((folder / "numbers.json").read_text())
    except (OSError, ValueError):
        return {}
    return there if isinstance(there, dict) else {}


def _lab(options: argparse.Namespace) -> None:
    try:
        lab.require_jupyterlab()
        folder, copied = lessons.working_folder(options.folder)
        password = None
        if options.share:
            lab.refuse_root()
            print(lab.WHAT_SHARING_EXPOSES, flush=True)
            password = lab.read_password()
        if options.port is not None:
            lab.require_port(lab.address_to_listen_on(share=options.share), options.port)
        print("JupyterLab is starting, which takes some seconds.", flush=True)
        server = lab.prepare(folder, password=password, port=options.port, browser=not options.no_browser)
    except (ValueError, ModuleNotFoundError) as error:
        raise UsageError(str(error)) from None
    if copied:
        print(copied, flush=True)

    def welcome() -> None:
        print(f"JupyterLab is at {lab.address(server)}\n(Ctrl-C ends it)", flush=True)
        if options.share:
            from toylab.classroom.desks import DESKS, room_for

            print(f"For the class, with the password: {lab.class_address(server)}", flush=True)
            print(f"Each student works on a copy in {folder / DESKS}. {room_for()}", flush=True)

    lab.run(server, welcome)


def _handout(options: argparse.Namespace) -> None:
    try:
        with _writing_to(str(options.out)):
            written = handout.write(lessons.source_folder(options.notebooks), options.out, force=options.force)
    except ValueError as error:
        raise UsageError(str(error)) from None
    print("\n".join(map(str, written)))


def _live(options: argparse.Namespace) -> None:
    from toylab import live

    try:
        with _writing_to(str(options.out)):
            written = live.write(options.out, force=options.force)
    except ValueError as error:
        raise UsageError(str(error)) from None
    print("\n".join(map(str, written)))


def _papers(options: argparse.Namespace) -> None:
    from toylab.papers import PAPERS, page, results

    if options.list:
        print("\n".join(f"{name:<28}{paper.source}" for name, paper in PAPERS.items()))
        return
    with _writing_to(f"--out {options.out}"):
        require_writable(options.out)
    found = results(
        [options.only] if options.only else list(PAPERS), seed=options.seed, share=0.01 if options.quick else 1.0,
        progress=not options.quiet,
    )  # fmt: skip
    text = page(found)
    with _writing_to(f"--out {options.out}"):
        write_whole(
            options.out, {"papers.json": (json.dumps(found, indent=2) + "\n").encode(), "papers.md": text.encode()}
        )
    if not options.quiet:
        print(text, end="")


def _study(options: argparse.Namespace) -> int:
    """The exit status: 130 after Ctrl-C, of which what is done is kept."""
    try:
        from toylab.study import from_file, run, states

        ours = None if options.file.exists() else _study_of_ours(str(options.file))
        cell, grid = from_file.load(options.file) if ours is None else (ours.cell, ours.grid)
        if options.list:
            print("\n".join(from_file.listing(cell, grid, options.out)))
            return 0
        with (
            from_file.cluster(options.scheduler) if options.scheduler else nullcontext() as executor,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", toylab.ToylabWarning)  # what failed is said below
            table = run(
                cell, grid, out=options.out, executor=executor, workers=options.workers,
                retry_failed=options.retry_failed, progress=not options.quiet,
            )  # fmt: skip
    except (ValueError, TypeError, RuntimeError, ModuleNotFoundError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(error.strerror or str(error)) from None
    except KeyboardInterrupt:  # before the first cell, or again while the processes end
        print("toylab: interrupted. What is done is kept, and the same line goes on.", file=sys.stderr)
        return 130
    counts = states(options.out)["state"].value_counts()
    written = ["table.parquet"]
    if ours is not None and counts.get("done", 0) == counts.sum():
        files = ours.files(table)
        with _writing_to(f"--out {options.out}"):
            write_whole(options.out, files)
        written += files
    if not options.quiet:
        print("\n".join(str(options.out / name) for name in written))
    failed, missing, n = counts.get("failed", 0), counts.get("missing", 0), counts.sum()
    if missing:
        print(f"toylab: interrupted with {missing} of {n} cells missing. The same line goes on.", file=sys.stderr)
        return 130
    if failed:
        raise UsageError(f"{failed} of {n} cells failed. --list says why, --retry-failed tries them again.")
    return 0


def _study_of_ours(name: str) -> "Study | None":
    """The study of this name, if it is one; matplotlib, which it draws with, without a window system."""
    import matplotlib

    matplotlib.use("Agg")
    from toylab.studies import STUDIES

    return STUDIES.get(name)


def _bench(options: argparse.Namespace) -> int:
    """The exit status of the benchmarks, which are outside the wheel: loaded by name, and only where they are."""
    checkout = Path(toylab.__file__).resolve().parents[1]
    if not all((checkout / name).is_file() for name in ("pyproject.toml", "benchmarks/__main__.py")):
        raise UsageError(
            "bench: the benchmarks are not installed with toylab; they are in a checkout of its source. "
            "Get one, `make env` there, and run `make bench`, or its .venv/bin/toylab bench."
        )
    sys.path.insert(0, str(checkout))  # others, too, have a folder of this name
    benchmarks = importlib.import_module("benchmarks.__main__")
    status: int = benchmarks.main([options.what, *options.options] if options.what else ["--help"])
    return status
