"""What every floor uses: checks, files, progress, processes."""
