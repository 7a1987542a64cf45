"""Shared by the benchmarks of long runs: devices that fail, the run as a process, its figures, and their verdict."""
