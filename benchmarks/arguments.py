"""Arguments of the scripts in this folder: paths, each named in the first line of the docstring."""

from __future__ import annotations

import sys
from pathlib import Path

USAGE_ERROR = 2


def paths(docstring: str | None, *names: str, optional: int = 0) -> list[Path]:
    """The paths given on the command line.

    Exits with 0 after ``--help``, and with 2 and the usage if their number is wrong or one that
    must be there is absent.

    Args:
        docstring: of the script; shown as help.
        names: of the arguments, such as ``RUN``.
        optional: how many of the last may be left out; these need not exist.
    """
    script = Path(sys.argv[0]).name
    required = len(names) - optional
    shown = [name if n < required else f"[{name}]" for n, name in enumerate(names)]
    usage = f"usage: python benchmarks/{' '.join([script, *shown])}"
    given = sys.argv[1:]
    if any(argument in ("-h", "--help") for argument in given):
        print(f"{usage}\n\n{(docstring or '').strip()}")
        raise SystemExit(0)
    if not required <= len(given) <= len(names):
        print(f"{usage}\n{script}: {len(given)} arguments given", file=sys.stderr)
        raise SystemExit(USAGE_ERROR)
    for name, argument in zip(names[:required], given, strict=False):
        if not Path(argument).exists():
            print(f"{usage}\n{script}: {name}: {argument}: no such file", file=sys.stderr)
            raise SystemExit(USAGE_ERROR)
    return [Path(argument) for argument in given]
