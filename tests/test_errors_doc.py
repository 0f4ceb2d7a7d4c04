"""docs/errors.md lists every message, and each reads as one line for people."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
MOST_CHARACTERS = 300


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/messages.py"))


@pytest.fixture(scope="module")
def messages(written: dict[str, Any]) -> list[Any]:
    found: list[Any] = written["find_messages"]()
    assert len(found) > 250
    return found


def test_the_page_is_what_the_command_writes(written: dict[str, Any], messages: list[Any]) -> None:
    kept = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert kept == written["page"](messages), "run: python benchmarks/messages.py"


def test_every_message_is_one_plain_line(messages: list[Any]) -> None:
    for message in messages:
        where = f"{message.file}:{message.line}: {message.template}"
        fixed = re.sub(r"\{[^}]*\}", "…", message.template)
        assert message.template.isprintable() and "  " not in fixed, where
        assert not message.template.endswith((".", ";", ":", " ")), where
        assert not re.search(r"\ba [aeio]\w", fixed), where
        assert len(fixed) < MOST_CHARACTERS, where


def test_texts_in_variables_constants_and_functions_are_found(
    tmp_path: Path, written: dict[str, Any]
) -> None:
    source = """
_HINT = "do this"
def fail(name):
    found = f"{name} is bad"
    raise UsageError(f"{found}; " f"{_HINT}")
def choose(path):
    return f"{path}: a" if path else f"{path}: b"
def why(path):
    if path:
        return f"{path}: first"
    return f"{path}: second"
def fail_too(path, error):
    raise error(why(path))
"""
    tree = ast.parse(source)
    collector = written["_Collector"]("file.py", tree)
    collector.visit(tree)
    assert [(m.type, m.template) for m in collector.messages] == [
        ("UsageError", "{name} is bad; do this"),
        ("any", "{path}: first"),
        ("any", "{path}: second"),
    ]
