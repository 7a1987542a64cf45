"""Recordings of runs in MCAP files: what they hold, how they are written, read, kept and converted."""
