"""The checks that come with the package, as data: one pack a family."""
