"""Crystals, their objects and Fourier transforms."""
