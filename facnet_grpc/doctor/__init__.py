"""`facnet doctor`: looks at all that the service stands on, and says what is wrong and what to do about it."""
