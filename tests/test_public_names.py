"""The public names: complete, importable, and free until they are used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cxr_edge
from cxr_edge import errors
from cxr_edge.errors import unknown_name


def typing_imports() -> dict[str, str]:
    """What a type checker sees: each name below ``if TYPE_CHECKING`` with its module."""
    tree = ast.parse(Path(inspect.getfile(cxr_edge)).read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_all_is_sorted_complete_and_what_type_checkers_see() -> None:
    assert cxr_edge.__all__ == sorted(set(cxr_edge.__all__))
    assert set(cxr_edge.__all__) == set(typing_imports())


@pytest.mark.parametrize("name", cxr_edge.__all__)
def test_every_public_name_is_the_one_of_its_module_and_says_what_it_is(name: str) -> None:
    value = getattr(cxr_edge, name)
    assert value is getattr(importlib.import_module(typing_imports()[name]), name)
    assert value.__doc__
    assert name in dir(cxr_edge)


def test_every_error_is_public() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert tree <= set(cxr_edge.__all__)


def test_the_drawing_of_the_tree_of_errors_is_the_tree() -> None:
    drawing = str(errors.__doc__).split("::")[1].split("A message")[0]
    for line in filter(None, map(str.strip, drawing.splitlines())):
        words = line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()
        error = getattr(errors, words[0])
        if len(words) > 1 and words[1].isdigit():
            assert error.exit_code == int(words[1])
    drawn = {word for word in drawing.replace("│", " ").split() if word.endswith("Error")}
    assert drawn == {name for name in vars(errors) if name.endswith("Error")}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clasifier'"):
        cxr_edge.Clasifier  # noqa: B018


HEAVY = ("numpy", "cv2", "onnxruntime", "typer", "keras", "tensorflow")


@pytest.mark.parametrize(
    "statement", ["import cxr_edge", "from cxr_edge import CxrEdgeError, ImageError"]
)
def test_importing_costs_nothing(statement: str) -> None:
    code = f"import sys; {statement}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"[]"


def test_importing_the_classifier_starts_no_thread_and_imports_no_training() -> None:
    code = (
        "import sys, threading; from cxr_edge import Classifier;"
        "print(threading.active_count(), [m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"1 []"


def test_a_long_list_of_names_is_cut_between_names() -> None:
    names = [f"name-{number:02}" for number in range(60)]
    message = str(unknown_name("thing", "name-5x", names))
    assert message.startswith("no thing is called 'name-5x'; did you mean name-5")
    *whole, last = message.partition("there are ")[2].split()
    assert last == "…" and [name.rstrip(",") for name in whole] == names[: len(whole)]
    assert len(message) < 300
