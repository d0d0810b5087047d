"""What happens around every call: one concern a file, listed in order in `server/app.py`."""
