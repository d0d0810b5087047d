"""Who calls, what they may call, and how much: one concern a file; `interceptors/auth.py` and `limits.py` ask."""
