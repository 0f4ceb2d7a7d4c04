"""HTML of self-contained pages: what all of them share. Text is escaped here, markup is not."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from cxr_edge.bundle.manifest import NOTICE


def notice() -> str:
    """What the software must not be used for."""
    return f'<p class="notice">{escape(NOTICE)}</p>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with what they stand for."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"


def document(title: str, body: Iterable[str], *, style: str, script: str = "") -> bytes:
    """A whole page that fetches nothing: its policy allows pictures inside it and its own script.

    Args:
        title: text, also the first heading.
        body: markup.
        style: CSS.
        script: JavaScript; empty: none may run.
    """
    name, text = escape(title), "\n".join(body)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        text += f"\n<script>{script}</script>"
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="{policy}">
<title>{name}</title>
<style>{style}</style>
</head>
<body>
<h1>{name}</h1>
{text}
</body>
</html>
"""
    return page.encode(errors="replace")
