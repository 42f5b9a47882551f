"""The metrics of a handler."""
