"""The core rules, one file each."""
