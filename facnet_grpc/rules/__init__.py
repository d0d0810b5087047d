"""The billing rules: pure functions from claim lines to findings."""
