"""Phase a pattern: from photons to the object that scattered them, and how far that is to be trusted."""
