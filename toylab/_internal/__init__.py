"""What the rest of the package is built on and users need not know: nothing here is public."""
