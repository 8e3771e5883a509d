"""The report of a backtest: one page that needs nothing but itself. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from services.shared.duration import format_duration
from services.shared.instant import Instant, format_instant
from services.sla.backtest import Example, Rate, Tally, rates

#: Where there is nothing to say.
NOTHING = "\N{EN DASH}"
_BAR, _ROW = 260, 22
_COLOURS = ("#9aa5b1", "#2f7d4f")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e3e8ee}td.n,th.n{text-align:right}
.key span{display:inline-block;width:.8em;height:.8em;margin:0 .4em 0 1em}small{color:#5c6b7a}
"""


def report(tally: Tally, names: Sequence[str], events: int, as_of: Instant) -> str:
    """HTML: a chart and a table for each way of counting, and examples of what would end otherwise."""
    colours = _COLOURS[-len(names) :]
    key = "".join(f'<span style="background:{c}"></span>{escape(n)}' for n, c in zip(names, colours, strict=True))
    return "\n".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8><title>How the word would have been kept</title>",
            f"<style>{_STYLE}</style><h1>How the word would have been kept</h1>",
            f"<p>{events:,} events, judged as of {format_instant(as_of)}. Rates are of what is over.</p>",
            f"<p class=key>{key}</p>",
            *_section("By policy", tally, ("policy", "metric"), colours),
            *_section("By team", tally, ("team",), colours),
            *_section("By site", tally, ("site",), colours),
            *_pauses(tally, names),
            *_flips(tally),
            "</html>",
        )
    )


def percent(share: float | None) -> str:
    """For people: "97.3 %"; a dash where nothing is over."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def _section(title: str, tally: Tally, by: Sequence[str], colours: Sequence[str]) -> Iterator[str]:
    sides = [rates(counts, by) for counts in tally.counts]
    keys = sorted({key for side in sides for key in side})
    if not any(any(key) for key in keys):
        return
    headings = "".join(f"<th>{escape(name)}" for name in by)
    numbers = "<th class=n>kept<th class=n>of<th class=n>open<th class=n>left out" * len(sides)
    yield f"<h2>{title}</h2><table><tr>{headings}<th>kept{numbers}</tr>"
    for key in keys:
        cells = "".join(f"<td>{escape(part) or NOTHING}" for part in key)
        yield f"<tr>{cells}<td>{_bars(key, sides, colours)}{''.join(_cells(side.get(key)) for side in sides)}</tr>"
    yield "</table>"


def _cells(rate: Rate | None) -> str:
    rate = rate or Rate(0, 0, 0, 0)
    numbers = (percent(rate.share), f"{rate.kept + rate.broken:,}", f"{rate.open:,}", f"{rate.left_out:,}")
    return "".join(f"<td class=n>{number}" for number in numbers)


def _bars(key: tuple[str, ...], sides: Sequence[Mapping[tuple[str, ...], Rate]], colours: Sequence[str]) -> str:
    height = _ROW * len(sides) // 2 + 4
    bars = []
    for row, (side, colour) in enumerate(zip(sides, colours, strict=True)):
        rate = side.get(key)
        share = (rate.share if rate else None) or 0
        width, y = round(_BAR * share, 1), 2 + row * _ROW // 2
        bars.append(f'<rect x="0" y="{y}" width="{_BAR}" height="9" fill="#eef1f4"/>')
        bars.append(f'<rect x="0" y="{y}" width="{width}" height="9" fill="{colour}"/>')
    return f'<svg width="{_BAR}" height="{height}" role="img">{"".join(bars)}</svg>'


def _pauses(tally: Tally, names: Sequence[str]) -> Iterator[str]:
    if not any(tally.pauses):
        return
    headings = "".join(f"<th class=n>times, {escape(name)}<th class=n>clocks' time" for name in names)
    yield f"<h2>Paused</h2><table><tr><th>reason<th>team{headings}</tr>"
    for pause in sorted({pause for side in tally.pauses for pause in side}):
        cells = "".join(
            f"<td class=n>{times[pause]:,}<td class=n>{format_duration(spent[pause])}"
            for times, spent in zip(tally.pauses, tally.paused, strict=True)
        )
        yield f"<tr><td>{escape(pause.reason) or NOTHING}<td>{escape(pause.team) or NOTHING}{cells}</tr>"
    yield "</table>"


def _flips(tally: Tally) -> Iterator[str]:
    if not tally.flips:
        return
    yield "<h2>What would end otherwise</h2>"
    for flip, number in tally.flips.most_common():
        yield f"<h3>{escape(flip.metric)}: {flip.before} → {flip.after}, {number:,} times</h3><table>"
        yield "<tr><th>case<th>started<th>ended<th>due before<th>due after</tr>"
        yield from (_row(example) for example in tally.examples[flip])
        yield "</table>"


def _row(example: Example) -> str:
    case = example.record_id + (f", cycle {example.cycle}" if example.cycle > 1 else "")
    times = (example.started_at, example.stopped_at, example.due_before, example.due_after)
    cells = "".join(f"<td>{format_instant(at) if at else NOTHING}" for at in times)
    return f"<tr><td>{escape(case)}{cells}</tr>"
