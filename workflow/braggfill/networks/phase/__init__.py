"""Networks that predict the reciprocal-space phase, or the object, from a pattern in three dimensions."""
