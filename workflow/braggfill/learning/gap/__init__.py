"""Training of the networks that fill gaps: patches, exposures, losses, scores."""
