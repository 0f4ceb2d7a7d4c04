"""A failed command in JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cxr_edge.errors import CxrEdgeError
from cxr_edge.files import printable


@contextlib.contextmanager
def errors_as_documents(format: str | None) -> Iterator[None]:
    """With ``--format json``, print an error of the block on stdout too."""
    try:
        yield
    except CxrEdgeError as err:
        if format == "json":
            from cxr_edge.cli.output.schemas import ERROR, ErrorDocument, print_document

            kind = type(err).__name__
            print_document(ErrorDocument(ERROR, kind, printable(str(err)), err.exit_code))
        raise
