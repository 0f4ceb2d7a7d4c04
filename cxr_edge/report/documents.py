"""Which page belongs to a JSON document: the document's own ``schema`` says it, not its name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.errors import MissingExtraError, UsageError
from cxr_edge.extras import is_installed
from cxr_edge.files import printable, read_file, remove_file, write_file
from cxr_edge.report.charts import PACKAGES, require_report
from cxr_edge.reporting import Reporter

MAX_DOCUMENT_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """A kind of document that a page can be drawn from."""

    schema: str
    """The part of its ``schema`` before the version, such as ``cxr-edge.benchmark``."""
    name: str
    """What messages call such a document, with its article."""
    made_by: str
    """The command that writes it."""
    draw: Callable[[bytes, Path], bytes]
    """From the JSON and the path that it was read from to a page. Pictures that the document
    names lie beside that path."""


def _draw_benchmark(data: bytes, path: Path) -> bytes:
    from cxr_edge.benchmark.report import parse_report
    from cxr_edge.report.benchmark.page import report_page

    return report_page(parse_report(data, printable(path)))


def _draw_evaluation(data: bytes, path: Path) -> bytes:
    from cxr_edge.metrics.evaluation import parse_evaluation
    from cxr_edge.report.evaluation.page import evaluation_page

    return evaluation_page(parse_evaluation(data, printable(path)), path.parent)


def _draw_seeds(data: bytes, path: Path) -> bytes:
    from cxr_edge.metrics.evaluation import parse_seeds
    from cxr_edge.report.evaluation.seeds import seeds_page

    return seeds_page(parse_seeds(data, printable(path)))


BENCHMARK = DocumentKind("cxr-edge.benchmark", "a benchmark", "cxr-edge benchmark", _draw_benchmark)
"""Several of these share a page."""
KINDS = (
    BENCHMARK,
    DocumentKind("cxr-edge.evaluation", "an evaluation", "cxr-edge evaluate", _draw_evaluation),
    DocumentKind("cxr-edge.seeds", "several runs' evaluation", "cxr-edge evaluate", _draw_seeds),
)
"""Every document that has a page."""


def share_a_page(paths: Sequence[Path]) -> bool:
    """Whether the documents are benchmarks, which are shown side by side; one never is.

    Raises:
        UsageError: one is no document with a page, or only some are benchmarks.
    """
    if len(paths) < 2:
        return False
    kinds = [
        _kind_of(read_file(path, max_bytes=MAX_DOCUMENT_BYTES, error=UsageError), path)
        for path in paths
    ]
    benchmarks = [kind is BENCHMARK for kind in kinds]
    if any(benchmarks) and not all(benchmarks):
        place = benchmarks.index(not benchmarks[0])
        raise UsageError(
            f"{printable(paths[0])} is {kinds[0].name}, {printable(paths[place])} is "
            f"{kinds[place].name}; expected benchmarks only, which are shown side by side, or none"
        )
    return all(benchmarks)


def draw_page(path: Path) -> bytes:
    """Draw the page of a document.

    Args:
        path: the JSON of a benchmark or an evaluation.

    Returns:
        A self-contained UTF-8 HTML document.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
        UsageError: the file cannot be read, or is no such document.
        CxrEdgeError: it is damaged, or of a version that is not known here.
    """
    require_report()
    data = read_file(path, max_bytes=MAX_DOCUMENT_BYTES, error=UsageError)
    return _kind_of(data, path).draw(data, path)


def can_draw() -> bool:
    """Whether the extra ``report`` is installed."""
    return all(map(is_installed, PACKAGES))


def draw_page_beside(path: Path, reporter: Reporter) -> Path | None:
    """Draw the page of a document that was just written, or say how to.

    Args:
        path: the JSON.
        reporter: is told how to get the page where the extra ``report`` is missing.

    Returns:
        The page: the document's name with ``.html``; None: it was not drawn.

    Raises:
        OutputError: the page cannot be written.
    """
    page = path.with_suffix(".html")
    try:
        write_file(page, draw_page(path))
    except MissingExtraError as err:
        remove_file(page)  # an older page would show other figures
        again = f"cxr-edge report {shlex.quote(printable(path))}"
        reporter.say(f"no page: {err}, here or elsewhere; then {again} draws it")
        return None
    return page


def _kind_of(data: bytes, path: Path) -> DocumentKind:
    commands = " or ".join(dict.fromkeys(f"`{kind.made_by}`" for kind in KINDS))
    expected = f"expected the JSON that {commands} writes"
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise UsageError(f"{printable(path)}: is not JSON; {expected}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    for kind in KINDS:
        if isinstance(schema, str) and schema.partition("/")[0] == kind.schema:
            return kind
    has = f"its schema is {schema!r:.80}" if schema is not None else "it has no schema"
    raise UsageError(f"{printable(path)}: has no page, {has}; {expected}")
