"""``cxr-edge``, which is ``python -m cxr_edge`` too."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # While modules load, and while Python ends, Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))


def main() -> None:
    """Run the command line and exit."""
    from cxr_edge.cli import main as run

    run()


if __name__ == "__main__":
    main()
