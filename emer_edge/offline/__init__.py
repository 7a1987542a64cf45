"""Work on files: scores of clips and recordings, crops of raw videos, fixation maps."""
