"""Networks that fill gaps."""
