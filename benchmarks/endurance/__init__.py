"""What the benchmarks of whole runs share: devices that fail, the run as a process, its figures, and their judge."""
