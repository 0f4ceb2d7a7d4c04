"""CONTRIBUTING's map is the tree: every folder and module of the package, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cxr_edge", "export", "train")
MOST_LINES = 300
MOST_MODULES = 18


def modules_by_folder() -> dict[str, list[str]]:
    """The modules of every folder that has some, ``__init__`` and ``__main__`` aside."""
    modules: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            folder = modules.setdefault(path.parent.relative_to(ROOT).as_posix(), [])
            if not path.stem.startswith("__"):
                folder.append(path.stem)
    return modules


def read_map(text: str) -> dict[str, list[str]]:
    """The modules that the map names by folder.

    An entry is ``folder/  purpose: modules``, indented below the folder that it is in; lines
    without a folder continue the entry above.
    """
    entries: list[tuple[int, str, str]] = []
    for line in text.splitlines():
        if entry := re.fullmatch(r"( *)(\w+)/ +(.+)", line):
            entries.append((len(entry[1]), entry[2], entry[3]))
        else:
            indent, name, words = entries.pop()
            entries.append((indent, name, f"{words} {line.strip()}"))
    modules: dict[str, list[str]] = {}
    above: list[tuple[int, str]] = []
    for indent, name, words in entries:
        above = [(depth, parent) for depth, parent in above if depth < indent]
        above.append((indent, name))
        if above[0][1] in PACKAGES:
            _, _, listed = words.partition(":")
            modules["/".join(parent for _, parent in above)] = listed.split()
    return modules


@pytest.fixture(scope="module")
def listed() -> dict[str, list[str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (block,) = re.findall(r"## The map\n\n```\n(.*?)\n```\n", text, re.DOTALL)
    return read_map(block)


def test_a_map_is_read_by_indentation_and_lines_may_be_continued() -> None:
    text = (
        "export/    to files: gate\n"
        "           report\n"
        "  graph/   the graph: reader\n"
        "tests/     as the modules"
    )
    assert read_map(text) == {"export": ["gate", "report"], "export/graph": ["reader"]}


def test_the_map_names_every_module_and_nothing_else(listed: dict[str, list[str]]) -> None:
    wrong = []
    tree = modules_by_folder()
    for folder in sorted({*tree, *listed}):
        there, named = tree.get(folder, []), listed.get(folder, [])
        if folder not in listed:
            wrong.append(f"{folder}/ is not on the map: {' '.join(there)}")
        elif folder not in tree:
            wrong.append(f"{folder}/ is on the map but holds no module")
        else:
            missing = [name for name in there if name not in named]
            superfluous = [name for name in named if name not in there]
            twice = sorted({name for name in named if named.count(name) > 1})
            for words, names in (
                ("not on the map", missing),
                ("on the map but not there", superfluous),
                ("on the map twice", twice),
            ):
                if names:
                    wrong.append(f"{folder}/: {words}: {' '.join(names)}")
    assert not wrong, "CONTRIBUTING.md's map and the tree differ:\n" + "\n".join(wrong)


def test_no_module_is_longer_than_a_reader_likes() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_folder_holds_more_modules_than_a_reader_takes_in() -> None:
    counts = {folder: len(modules) for folder, modules in modules_by_folder().items()}
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def imports_when_imported(path: Path) -> set[str]:
    """Modules that a module imports at once, not inside a function or for the type checker."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_runtime_imports_neither_training_nor_export() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): imported
        for path in (ROOT / "cxr_edge").rglob("*.py")
        for imported in imports_when_imported(path)
        if imported.startswith(("cxr_edge.train", "cxr_edge.export"))
    }
    assert found == {}


def test_training_and_export_do_not_import_each_other() -> None:
    for folder, other in (("train", "cxr_edge.export"), ("export", "cxr_edge.train")):
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith(other) for name in imports_when_imported(path)), path
