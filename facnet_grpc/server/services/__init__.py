"""One class per service of the API."""
