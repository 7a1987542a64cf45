"""A web page that shows a run live: results, video, gaze, sensors and latency, for this machine alone by default."""
