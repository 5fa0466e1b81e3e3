"""phase: patterns to phases by networks, whole and in patches; objects, and how right they are."""
