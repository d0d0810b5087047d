"""One module per revision, `v<number>_<name>.py`, with its SQL beside it in `<number>.sql`."""
