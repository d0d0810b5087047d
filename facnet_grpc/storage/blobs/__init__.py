"""Blob stores: uploaded files on a disk, encrypted at rest."""
