"""The interceptors of every call; `server/app.py` lists them in order."""
