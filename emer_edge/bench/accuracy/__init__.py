"""What bundles say about clips that nothing about them was chosen on, and how far that is to be believed."""
