"""``python -m benchmarks NAME``: measure, and write the numbers, from a checkout."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmarks import classroom, densities, energies, films, kernel, live, memory, seeds, speed, study, widgets
from benchmarks.machine import made_with
from toylab._internal.folder import require_writable, write_whole

MEASURED: dict[str, tuple[str, Callable[[float], dict[str, Any]]]] = {
    "class": ("thirty students in a shared lab, on this machine", classroom.run),
    "densities": ("densities beside torch.distributions, with their memory", densities.run),
    "energies": ("energies by maximum likelihood and by what stands for it", energies.run),
    "films": ("films of widgets: seconds and weight", films.run),
    "kernel": ("memory of the kernel of a lesson", kernel.run),
    "live": ("the live lab in a browser: frames, gaps, weight", live.run),
    "memory": ("peak memory of 100,000 chains", memory.run),
    "seeds": ("networks trained side by side against one", seeds.run),
    "study": ("what a study costs beside its cells: sending, writing, recognising, memory", study.run),
    "widgets": ("from a control that moves to the new picture", widgets.run),
}
"""What is measured besides speed: a line on it, and the function of the share that measures it."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write NAME.json (of speed, its tables as NAME.md, too).

    Speed writes after each row, all that is known by then: ``speed``, or ``speed_NAME`` with ``--only NAME``, since a
    part must not take the place of the whole.

    Returns:
        The exit status: 0; 1 if some rows of speed failed; 2 for a wrong request; 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        require_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror}). Give another folder.")
    if options.what == "speed":
        return _speed(options)
    numbers = MEASURED[options.what][1](options.share)
    write_whole(options.out, {f"{options.what}.json": _json(numbers)})
    if not options.quiet:
        print(_json(numbers).decode(), end="")
    return 0


def _speed(options: argparse.Namespace) -> int:
    name = "speed" if options.only is None else f"speed_{options.only}"
    found = speed.Speed(made_with(options.share))
    interrupted = False
    lines = speed.run(only=options.only, share=options.share, progress=not options.quiet)
    try:
        for line in lines:
            found = found.with_line(line)
            write_whole(
                options.out, {f"{name}.json": _json(found.to_json()), f"{name}.md": f"{speed.tables(found)}\n".encode()}
            )
            if not options.quiet:
                tqdm.write(speed.said(line))
                sys.stdout.flush()  # each row as soon as it is there, in a file or a pipe as well
    except KeyboardInterrupt:
        interrupted = True
    finally:
        lines.close()
    if not options.quiet and (interrupted or found.n_failed):
        kept = f"{len(found.rows) + len(found.sweeps)} rows are in {options.out / name}.md"
        print(f"{'interrupted' if interrupted else f'{found.n_failed} failed'}; {kept}", file=sys.stderr)
    return 130 if interrupted else int(found.n_failed > 0)


def _json(numbers: dict[str, Any]) -> bytes:
    return (json.dumps(numbers, indent=2, ensure_ascii=False) + "\n").encode()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Benchmarks against the alternatives, as ratios measured in one run. To record numbers for the "
        "documentation: --out benchmarks/results.",
        epilog="example:\n  python -m benchmarks speed --only mala --share 0.1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = parser.add_subparsers(title="what to measure", dest="what", required=True, metavar="NAME")
    summary = "our code beside other packages, and how it scales: a quarter of an hour on two cores"
    beside = names.add_parser(
        "speed",
        help=summary,
        description=f"Measure {summary}. A package that is not installed is skipped with a line; "
        '`pip install -e ".[bench]"` brings all. What a GPU takes is measured by --only gpu.',
    )
    beside.add_argument(
        "--only", choices=speed.NAMES, metavar="NAME", help=f"this comparison alone: {', '.join(speed.NAMES)}"
    )
    others = [names.add_parser(name, help=line, description=f"Measure {line}.") for name, (line, _) in MEASURED.items()]
    for one in (beside, *others):
        one.add_argument(
            "--share", type=_share, default=1.0, metavar="F", help="share of the steps, for a quick look (1)"
        )
        one.add_argument("--out", type=Path, default=Path("bench"), metavar="DIR", help="folder to write to (bench)")
        one.add_argument("--quiet", action="store_true", help="no progress bar, no rows as they come")
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give a number above 0 and up to 1")
    return share


if __name__ == "__main__":
    raise SystemExit(main())
