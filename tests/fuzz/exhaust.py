"""Every hostile value in every argument of every public call: ``python -m tests.fuzz.exhaust [part of a name]``."""

import contextlib
import sys
import tempfile
from collections import Counter

from tests.fuzz.calls import Call, calls
from tests.fuzz.hostile import Named, of
from tests.fuzz.verdict import complaint


def tried(call: Call, name: str, value: Named) -> str | None:
    """What is wrong with how the call ends when one argument is replaced by a hostile value; None if nothing is."""
    arguments = {key: make() for key, make in call.arguments.items()}
    try:
        arguments[name] = value.make(arguments[name])
    except (TypeError, ValueError, RuntimeError, IndexError):
        return None  # there is no such value here
    if arguments[name] is None and name in call.optional:
        return None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # "1" is the name of a file, too
        return complaint(call.function, arguments, name, finite=value.finite)


def main(part: str = "") -> int:
    """Print each complaint; the number of them."""
    found: Counter[str] = Counter()
    n = 0
    for call in calls():
        if part not in call.name:
            continue
        for name, make in call.arguments.items():
            for value in of(make()):
                n += 1
                if said := tried(call, name, value):
                    found[call.name] += 1
                    print(f"{call.name}({name}={value}): {said}", flush=True)
    print(f"{sum(found.values())} complaints in {n} calls", flush=True)
    return sum(found.values())


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
