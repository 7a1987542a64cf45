"""What a bundle leans on (ablations), whether it may know the films, and how it bears worse input (robustness)."""
