"""What checks are made of: each primitive asks one kind of question of many lines at once."""
