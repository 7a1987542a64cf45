"""What predictions are worth and what they cost: NumPy only, the same figures in training, export, run and bench."""
