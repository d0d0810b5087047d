"""Who may call: authentication, the role of each call, and the limits of each owner."""
