"""``cxr-edge``, which is ``python -m cxr_edge`` too."""

import os
import signal

# While modules load, and while Python ends, Ctrl-C and SIGTERM end the process without a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(143))


def main() -> None:
    """Run the command line and exit."""
    from cxr_edge.cli import main as run

    run()


if __name__ == "__main__":
    main()
