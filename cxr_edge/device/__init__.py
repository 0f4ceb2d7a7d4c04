"""This machine: what it is, how fast it is, and which artifact is fastest on it.

::

    machine.py    CPU and instruction sets     process.py   child processes: time and peak memory
    timing.py     interleaved timing           startup.py   breakdown of the start-up time
    tune.py       the fastest artifact here    profile.py   stores the result of tune
    doctor.py     advice on speed and setup    temporary.py temporary folders and their sweep
    forks.py      what a fork must not break
"""
