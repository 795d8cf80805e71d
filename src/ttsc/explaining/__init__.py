"""An estimate for people and for programs: text, JSON, a page."""
