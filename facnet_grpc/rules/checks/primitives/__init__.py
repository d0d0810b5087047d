"""The kinds of tests that a check can be made of: each primitive is a `CheckTest`."""
