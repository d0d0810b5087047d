"""Checks the claim files of Quebec clinics before and after they are sent to the RAMQ, over gRPC."""
