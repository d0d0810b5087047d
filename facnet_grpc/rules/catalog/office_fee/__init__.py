"""Office fees (frais de bureau): thresholds and ceilings per doctor and day."""
