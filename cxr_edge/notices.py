"""What is worth a line but no error, for whoever listens to the log ``cxr_edge``; stderr else."""

from __future__ import annotations


def notice(text: str) -> None:
    """Log one line as a warning."""
    import logging  # 3 ms that a start without anything to say does not need

    logging.getLogger("cxr_edge").warning("%s", text)
