"""Sensors of a laboratory, for emer-edge."""
