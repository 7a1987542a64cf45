"""What every room agrees on: labels, heads and protocols, the 39 columns, the window, samples and results."""
