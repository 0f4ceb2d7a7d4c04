"""The device service: files and uploads in, one SQLite store of results out.

::

    process   signals, one service a store; service starts and stops the parts
    config    cxr-edge.toml
    inbox     which files of the inbox are complete; moves them out of it
    worker    the one thread that classifies and records
    store     a row for each delivery, in SQLite; chain is its audit, retention its bounds
    health    golden inputs through the whole path, and what the device says of itself
    http      requests, the page and metrics; mqtt publishes results
    notify    systemd

A file is classified, its result is committed to the store, and only then it is moved out of the
inbox. Whatever dies in between, the row decides: a file that has one is moved, one that has none is
classified.
"""
