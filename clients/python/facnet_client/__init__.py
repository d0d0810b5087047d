"""The client: submit, watch, read, from Python and from the command line."""
