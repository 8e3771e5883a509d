"""Words that people read."""


def counted(number: int, noun: str) -> str:
    """How many of what: "1 line", "2,000 lines". The noun takes an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
