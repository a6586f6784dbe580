"""Input ranges and histograms of bit-line sums, from a few batches."""
