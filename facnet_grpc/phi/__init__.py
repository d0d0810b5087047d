"""What of a person may leave the service, and in which form."""
