"""The weights that come with the package, how they are checked and how they are shipped."""
