"""Latency of a bundle on this machine: parts, closed loop, live run, starts, energy; and the machine's state."""
