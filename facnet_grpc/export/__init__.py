"""Exported tables and file formats: redacted, with texts, as bytes. No I/O: Arrow in, bytes out."""
