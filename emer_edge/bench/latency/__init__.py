"""How long a bundle takes on this machine: parts, closed loop, live run, starting, energy; and what machine it is."""
