"""Fitting EMERT to the folds of a data set."""
