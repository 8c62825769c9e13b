"""Reads the CPU clocks of processes, to the nanosecond and with the threads that have ended, which is
more than /proc shows: a process id a line in, its nanoseconds a line out."""

import sys
import time

for line in sys.stdin:
    # What clock_getcpuclockid(3) gives on Linux.
    clock = (~int(line) << 3) | 2
    print(time.clock_gettime_ns(clock), flush=True)
