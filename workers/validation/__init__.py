"""One run, from claim to its end: parse, load, judge, store, in one transaction; and what to do when that fails."""
