"""What a bundle leans on, and how it bears worse input."""

from __future__ import annotations

__all__: list[str] = []
