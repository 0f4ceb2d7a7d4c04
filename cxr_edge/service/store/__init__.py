"""The results: in a database that one thread writes and any process reads."""
