"""What a precision does to the network: windows to judge on, verification, the accuracy gate, probabilities."""
