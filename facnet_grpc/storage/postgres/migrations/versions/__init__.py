"""One file per change: a module with its number and, beside it, its SQL."""
