"""DICOM over the network: images in by C-STORE, reports out by C-STORE; the extra ``dicom``.

::

    settings    the table [dicom] of cxr-edge.toml
    accepted    SOP classes and transfer syntaxes, and what an object must hold
    listener    the application entity: handlers, start and stop
    server      connections: which, how many, and those that are turned away
    connection  the sizes and times of what is read
    protocol    messages and objects: their sizes and times, and what may follow what
    spool       an object on its way to the disk
    outbox      reports that wait for their archive
    reports     a stored result to a report in the outbox
    archive     the connection that they are sent over
    forwarder   the thread that delivers reports
    figures     counts for monitors; no name, number or UID
    tls         certificates

An object is written to the folder of received files, flushed to the disk and only then
acknowledged. From there it takes the way of a file of the inbox. Its report is in the outbox before
it is moved, so whatever dies when, a result has its report.
"""
