"""The device service (the lead's text goes here)."""
