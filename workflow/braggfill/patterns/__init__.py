"""Diffraction patterns: gaps, patches, noise, interpolation, scores."""
