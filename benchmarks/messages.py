"""Writes docs/errors.md: the template of every error message in the source.

``python benchmarks/messages.py``
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import errors

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/errors.md"
PACKAGES = ("cxr_edge", "export", "train")

_HEAD = """\
# Error messages

Every message that cxr-edge raises on purpose, by type, so that each can be read once. Written by
`python benchmarks/messages.py`, checked by `tests/test_errors_doc.py`. Braces are filled in.

A message is one line: the thing, what was found, what was expected, what to do. On the command line
it is shortened to 300 characters, and the exit code is that of its type.
"""

# A function's parameter or variable that holds the type to raise.
_ANY = ("error", "kind")


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One place that builds an error."""

    type: str
    """Name of the error's class; ``any``: the caller chooses it."""
    file: str
    """Path from the root of the repository."""
    line: int
    template: str
    """The text, with expressions in braces."""


def error_types() -> dict[str, type[errors.CxrEdgeError]]:
    """Every class of ``cxr_edge.errors`` by name, in the order of its module."""
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.CxrEdgeError)
    }


def find_messages() -> list[Message]:
    """Every message in the source, by file and line."""
    messages: list[Message] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            collector = _Collector(path.relative_to(ROOT).as_posix(), tree)
            collector.visit(tree)
            messages += collector.messages
    return messages


class _Collector(ast.NodeVisitor):
    """Collects the calls of error classes in one file."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.messages: list[Message] = []
        self._file = file
        self._types = error_types()
        self._texts = _assigned_texts(tree)
        """Texts that variables of the module and of the function at hand are given."""
        self._functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self._texts = self._texts, {**self._texts, **_assigned_texts(node)}
        self.generic_visit(node)
        self._texts = outer

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if (name in self._types or name in _ANY) and len(node.args) == 1 and not node.keywords:
            kind = name if name in self._types else "any"
            for template in self._templates(node.args[0]):
                self.messages.append(Message(kind, self._file, node.lineno, template))
        self.generic_visit(node)

    def _templates(self, node: ast.expr) -> list[str]:
        """The text, or those that a function of the same file may return for it."""
        is_named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        called = node.func.id if is_named else ""
        if called not in self._functions:
            template = self._template(node)
            return [] if template is None else [template]
        function = self._functions[called]
        outer, self._texts = self._texts, {**self._texts, **_assigned_texts(function)}
        returned = [
            self._template(statement.value)
            for statement in sorted(
                (n for n in ast.walk(function) if isinstance(n, ast.Return)), key=_line
            )
            if statement.value is not None
        ]
        self._texts = outer
        return [template for template in returned if template]

    def _template(self, node: ast.expr) -> str | None:
        """A text as it is written; None where the argument is no text of its own."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            return "".join(self._part(part) for part in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._template(node.left), self._template(node.right)
            return None if left is None or right is None else left + right
        if isinstance(node, ast.Name) and node.id in self._texts:
            return self._template(self._texts[node.id])
        return f"{{{ast.unparse(node)}}}" if isinstance(node, ast.Name | ast.Call) else None

    def _part(self, part: ast.expr) -> str:
        if isinstance(part, ast.Constant):
            return str(part.value)
        assert isinstance(part, ast.FormattedValue)
        value = part.value
        if isinstance(value, ast.Name) and value.id in self._texts:
            return self._template(self._texts[value.id]) or "{}"
        while isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
            value = value.args[0]  # printable(path) is the path
        if any(isinstance(inner, ast.JoinedStr) for inner in ast.walk(value)):
            return "{…}"  # Python versions write texts within texts differently
        return f"{{{ast.unparse(value)}}}"


def _line(node: ast.stmt) -> int:
    return node.lineno


def _assigned_texts(scope: ast.FunctionDef | ast.Module) -> dict[str, ast.expr]:
    """Variables of a function or module that are assigned once, and a text."""
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(node.value)
    return {
        name: values[0]
        for name, values in assigned.items()
        if len(values) == 1 and _is_text(values[0])
    }


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, ast.JoinedStr)


def page(messages: list[Message]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    types: dict[str, str] = {
        name: f"{name}, exit code {value.exit_code}" for name, value in error_types().items()
    }
    for name, title in {**types, "any": "Of the type that the caller asks for"}.items():
        of_type = [message for message in messages if message.type == name]
        if not of_type:
            continue
        parts.append(f"\n## {title}\n\n")
        previous = ""
        for message in of_type:
            if message.file != previous:
                parts.append(f"{message.file}:\n\n" if not previous else f"\n{message.file}:\n\n")
            previous = message.file
            parts.append(f"- `{re.sub(r'[`]', chr(39), message.template)}`\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(find_messages()), encoding="utf-8")
