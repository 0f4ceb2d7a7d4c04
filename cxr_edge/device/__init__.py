"""The machine at hand: what it is, how fast it is, what is fastest on it.

::

    machine       its processor            process    child processes, with time and peak memory
    timing        timing steps in turn     startup    where the time of a start goes
    tune          the fastest artifact     profile    where the result of tune is kept
    doctor        what would be faster
"""
