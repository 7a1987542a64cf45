"""How the product reads people it never saw: `python -m benchmarks.strangers`."""
