"""The device: sensors, engines, the pipeline, and the scoring of recordings."""
