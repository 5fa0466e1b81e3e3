"""Phase retrieval: the object behind a pattern."""
