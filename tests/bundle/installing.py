"""Kill an installation before one of its system calls, again and again: ``python installing.py``.

Prints one line of JSON for each moment. Each installation runs in a forked child that has imported
everything and opened no model, so that a moment costs as much as an installation and no start.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cxr_edge.bundle import change, upgrade, verify
from cxr_edge.bundle.installed import InstalledBundles
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import Verdict
from cxr_edge.errors import CxrEdgeError

CALLS = ("fsync", "rename", "replace", "symlink", "unlink", "mkdir", "rmdir")
"""Functions of ``os`` that change what is on disk, whoever calls them."""


@contextlib.contextmanager
def counted(before_call: Callable[[int, str], None]) -> Iterator[None]:
    """Call ``before_call`` with the number (from 1) and name of each system call of CALLS."""
    count = 0

    def wrap(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            before_call(count, name)
            return original(*arguments, **options)

        setattr(os, name, call)
        undo.callback(setattr, os, name, original)

    with contextlib.ExitStack() as undo:
        for name in CALLS:
            wrap(name)
        yield


def in_child(work: Callable[[], object]) -> int:
    """Run something in a child; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except CxrEdgeError as err:
            print(err, file=sys.stderr)
            code = err.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(moment: int) -> Callable[[int, str], None]:
    def before_call(number: int, name: str) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return before_call


def count_calls(work: Callable[[], object]) -> list[str]:
    """The names of the system calls that something makes."""
    names: list[str] = []
    with counted(lambda number, name: names.append(name)):
        work()
    return names


def read_current(into: Path) -> str:
    """Hash of the current bundle, every file of which was hashed; what is wrong with it, else."""
    try:
        bundle = Bundle.open(into / "current")
        for record in bundle.manifest.files:
            bundle.read(record)
    except CxrEdgeError as err:
        return str(err)
    return bundle.manifest.sha256


def whole_state(into: Path) -> dict[str, object]:
    """What is in the folder when nothing is under way."""
    installed = InstalledBundles(into)
    return {
        "current": read_current(into),
        "previous": installed.linked("previous"),
        "names": sorted(path.name for path in into.iterdir()),
    }


def hash_only(bundle: Bundle) -> Iterator[Verdict]:
    """Of ``verify.replay_bundle`` the hashes."""
    for record in bundle.manifest.files:
        bundle.read(record)
    for artifact in bundle.manifest.artifacts:
        yield Verdict(artifact.name, artifact.engines[0].engine, "proven", 0.0, None, "")


def main(
    root: Path, old: Path, new: Path, moments: Sequence[int] | None, replays: bool, then: str
) -> None:
    """Kill installations of ``new`` over ``old`` at moments, all of them for None.

    Args:
        root: an empty folder.
        old: a bundle.
        new: another.
        moments: numbers of system calls to be killed before, each in a process of its own.
        replays: whether golden inputs are replayed; their hashes are checked at least.
        then: what follows: ``install``, ``rollback`` or ``settle``.
    """
    if not replays:
        upgrade.replay_bundle = hash_only  # type: ignore[attr-defined]
        change.check_here = lambda installed: ""  # type: ignore[attr-defined]
    else:
        verify.installed_engines = lambda: ("onnxruntime",)  # type: ignore[attr-defined]
    start = root / "start"
    in_child(lambda: upgrade.install_bundle(old, into=start))

    def count() -> None:
        shutil.copytree(start, root / "counted", symlinks=True)
        names = count_calls(lambda: upgrade.install_bundle(new, into=root / "counted"))
        (root / "calls.json").write_text(json.dumps(names))

    in_child(count)
    names = json.loads((root / "calls.json").read_text())
    follow = {
        "install": lambda into: upgrade.install_bundle(new, into=into),
        "rollback": lambda into: upgrade.rollback_bundle(into=into),
        "settle": lambda into: upgrade.settle_bundles(into),
    }[then]
    for moment in moments or range(1, len(names) + 1):
        into = root / f"{moment}"
        shutil.copytree(start, into, symlinks=True)

        def install(moment: int = moment, into: Path = into) -> None:
            with counted(kill_at(moment)):
                upgrade.install_bundle(new, into=into)

        killed = in_child(install)
        after_kill = read_current(into)
        followed = in_child(lambda into=into: follow(into))  # type: ignore[misc]
        line = {
            "moment": moment,
            "call": names[moment - 1] if moment <= len(names) else None,
            "killed": killed,
            "after kill": after_kill,
            "followed": followed,
            **whole_state(into),
        }
        print(json.dumps(line), flush=True)
        shutil.rmtree(into)


if __name__ == "__main__":
    numbers = [int(number) for number in sys.argv[4].split(",")] if sys.argv[4] != "all" else None
    main(*map(Path, sys.argv[1:4]), numbers, sys.argv[5] == "replays", sys.argv[6])
