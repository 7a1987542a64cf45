"""Sensors, an output and an engine of a laboratory, for emer-edge."""
