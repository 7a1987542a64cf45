"""Which precision the bundle gets: calibration, candidates, sensitivity, timing, and the choice among them."""
