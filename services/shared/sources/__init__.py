"""Sources of events: when each was last heard, and what is not told while one is not."""
