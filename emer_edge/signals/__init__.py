"""Eye rows, causal eye movements, and a window's slots, the same for recordings and live streams."""
