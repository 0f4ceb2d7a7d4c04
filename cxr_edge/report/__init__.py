"""Pages from the JSON of a benchmark or an evaluation."""
