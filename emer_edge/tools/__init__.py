"""Small tools around a run: what is plugged in, sensors without hardware, where a process runs."""
