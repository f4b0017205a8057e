"""``python -m benchmarks NAME``: measure, and write the numbers, from a checkout."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import densities, memory, seeds, speed, widgets
from toylab._internal.folder import require_writable, write_whole

MEASURED: dict[str, tuple[str, Callable[[float], dict[str, Any]]]] = {
    "densities": ("densities beside torch.distributions, with their memory", densities.run),
    "memory": ("peak memory of 100,000 chains", memory.run),
    "seeds": ("networks trained side by side against one", seeds.run),
    "widgets": ("from a control that moves to the new picture", widgets.run),
}
"""What is measured besides speed: a line on it, and the function of the share that measures it."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write NAME.json (of speed, NAME.md too); the exit status is 0, or 2 for a wrong request."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        require_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror}). Give another folder.")
    if options.what == "speed":
        found = speed.run(only=options.only, share=options.share, progress=not options.quiet)
        numbers, text = found.to_json(), speed.tables(found) + "\n"
        files = {"speed.md": text.encode()}
    else:
        numbers, files = MEASURED[options.what][1](options.share), {}
        text = json.dumps(numbers, indent=2, ensure_ascii=False) + "\n"
    files[f"{options.what}.json"] = (json.dumps(numbers, indent=2, ensure_ascii=False) + "\n").encode()
    write_whole(options.out, files)
    if not options.quiet:
        print(text, end="")
    return 0


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
        '`pip install -e ".[bench]"` brings all.',
    )
    beside.add_argument("--only", choices=(*speed.COMPARISONS, "scaling"), help="this comparison alone")
    others = [names.add_parser(name, help=line, description=f"Measure {line}.") for name, (line, _) in MEASURED.items()]
    for one in (beside, *others):
        one.add_argument(
            "--share", type=_share, default=1.0, metavar="F", help="share of the steps, for a quick look (1)"
        )
        one.add_argument("--out", type=Path, default=Path("bench"), metavar="DIR", help="folder to write to (bench)")
        one.add_argument("--quiet", action="store_true", help="no progress bar, no table")
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
