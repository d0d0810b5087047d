"""The claims of a file as columns, and the operations on them that rules share."""
