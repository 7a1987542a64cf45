"""The one window code: eye rows, causal eye movements, and a window's slots, for recordings and live streams."""
