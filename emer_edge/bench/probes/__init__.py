"""Probes of a bundle: ablations, film effects, robustness to worse input."""
