"""What a model is worth: figures with intervals, robustness, baselines, several seeds."""
