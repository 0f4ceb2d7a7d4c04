"""The folder in which files arrive."""
