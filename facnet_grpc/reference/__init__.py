"""What the RAMQ publishes: codes, tariffs, contexts, as versioned facts."""
