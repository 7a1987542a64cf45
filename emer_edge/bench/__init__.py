"""Figures of bundles on this machine: speed, memory, a live run on simulated sensors, accuracy on held-out clips."""
