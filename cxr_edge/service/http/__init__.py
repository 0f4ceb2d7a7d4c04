"""Requests, answered by one thread; the extra ``serve``.

::

    settings     address, token and limits
    app          the addresses, and what each answers
    uploads      an image's bytes, read within limits of size, time and memory
    answers      JSON documents and typed refusals
    guard        who may ask: host, origin, token; nothing else leaves as an error
    pages        the files of the page
    connections  how many, and how slow they may be
    server       the thread that listens
"""
