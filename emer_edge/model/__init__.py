"""EMERT in torch: the network, its published parameter names, and the checkpoints it is read from."""
