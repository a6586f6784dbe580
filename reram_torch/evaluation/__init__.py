"""Accuracy on data sets, tables of results, sweeps."""
