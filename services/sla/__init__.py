"""Standards: what the company promises to everybody, and the clocks that measure it."""
