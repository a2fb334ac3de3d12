"""An app for the benchmark of faults."""
