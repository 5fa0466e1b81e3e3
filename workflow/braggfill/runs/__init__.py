"""What a run of the workflow needs: jobs, files, seeds, splits, fingerprints."""
