"""Words that people read."""


def counted(number: int, noun: str) -> str:
    """How many of what: "1 line", "2,000 lines", "3 policies"."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number:,} {noun}s"
