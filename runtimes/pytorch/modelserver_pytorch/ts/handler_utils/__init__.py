"""What handlers use around their methods."""
