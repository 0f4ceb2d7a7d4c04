"""What commands print: tables and documents on stdout, messages and progress on stderr."""
