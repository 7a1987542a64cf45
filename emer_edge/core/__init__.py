"""What all rooms share: heads and protocols, the 39 columns, the window, samples, results and errors."""
