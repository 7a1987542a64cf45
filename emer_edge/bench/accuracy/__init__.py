"""Accuracy of bundles on held-out clips, with its uncertainty."""
