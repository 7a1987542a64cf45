"""EMER folders, eye sheets, tracker exports and recordings, as clips and windows."""
