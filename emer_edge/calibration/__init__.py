"""Which windows calibrate, and which ranges the activations get."""
