"""The report of a backtest: one page that needs nothing but itself. Pure."""

from collections.abc import Iterator, Sequence
from html import escape

from services.shared.duration import format_duration
from services.shared.instant import Instant, format_instant
from services.sla.backtest import Example, Flip, Rate, Tally, rates

#: Where there is nothing to say.
NOTHING = "\N{EN DASH}"
_ARROW = "\N{RIGHTWARDS ARROW}"
_BAR, _HEIGHT, _MARGIN = 240, 12, 18
_COLOURS = ("#9aa5b1", "#2f7d4f")
#: What is empty in a group, in words.
_EMPTY = {"policy": "no policy", "team": "no team stated", "site": "no site stated"}
_STYLE = """
@page{size:A4 landscape;margin:14mm}
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:76rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.15rem;margin-top:2.2rem}h3{font-size:1rem;margin-bottom:.3rem}
h2,h3{break-after:avoid}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem}thead th{vertical-align:bottom}
thead,tbody{border-bottom:1px solid #d5dce3}tr,tbody{break-inside:avoid}
.n,.t{white-space:nowrap;font-variant-numeric:tabular-nums}.n{text-align:right}.chart{width:17rem}
i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;print-color-adjust:exact}p,small{color:#44535f}
.c{overflow-wrap:anywhere;min-width:9rem}
svg{display:block;margin-top:.3rem}svg text{font-size:11px;font-weight:normal;fill:#44535f}
@media print{body{font-size:12px;margin:0;max-width:none}}
"""


def report(tally: Tally, names: Sequence[str], events: int, as_of: Instant) -> str:
    """HTML: a chart and a table for each way of counting, and examples of what would end otherwise."""
    return "\n".join(
        (
            '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">',
            f"<title>How the word would have been kept</title><style>{_STYLE}</style>",
            f"<h1>How the word would have been kept</h1><p>{events:,} events, judged as of {_time(as_of)} UTC.",
            "Rates are kept, of kept and broken. Left out is what was called off, or has no policy.</p>",
            *_section("By policy", tally, ("policy", "metric"), names),
            *_section("By team", tally, ("team", "metric"), names),
            *_section("By site", tally, ("site", "metric"), names),
            *_pauses(tally, names),
            *_flips(tally, names),
            "</html>",
        )
    )


def percent(share: float | None) -> str:
    """For people: "97.3 %"; a dash where nothing is over, and all or nothing only where it is just that."""
    if share is None:
        return NOTHING
    return f"{100 * share:.1f} %" if share in {0, 1} else f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def ordered(tally: Tally) -> list[tuple[Flip, int]]:
    """What would end otherwise: first what would be broken, then what would be kept, then all else."""
    weights = {("kept", "broken"): 0, ("broken", "kept"): 1}
    return sorted(tally.flips.items(), key=lambda each: (weights.get(each[0][1:], 2), -each[1], each[0]))


def _section(title: str, tally: Tally, by: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    sides = [rates(counts, by) for counts in tally.counts]
    keys = sorted({key for side in sides for key in side})
    if not any(key[0] for key in keys):
        return
    headings = "".join(f"<th>{escape(name)}" for name in by)
    numbers = "<th class=n>kept<th class=n>of<th class=n>open<th class=n>left out"
    yield f"<h2>{title}</h2><div class=wide><table><thead><tr>{headings}<th>standards<th class=chart>{_axis()}{numbers}"
    for key in keys:
        said = (key[0] or _EMPTY[by[0]], key[1].replace("_", " "))
        told = [each for each in zip(sides, names, _COLOURS[-len(names) :], strict=True) if key in each[0]]
        yield "<tbody><tr>" + "".join(f"<td rowspan={len(told)}>{escape(part)}" for part in said)
        yield "<tr>".join(_cells(side[key], name, colour) for side, name, colour in told)
    yield "</table></div>"


def _cells(rate: Rate, name: str, colour: str) -> str:
    numbers = (percent(rate.share), f"{rate.kept + rate.broken:,}", f"{rate.open:,}", f"{rate.left_out:,}")
    said = f'<td class=t><i style="background:{colour}"></i>{escape(name)}<td>{_bar(rate.share, colour)}'
    return said + "".join(f"<td class=n>{number}" for number in numbers)


def _axis() -> str:
    labels = "".join(
        f'<text x="{_MARGIN + _BAR * share // 100}" y="11" text-anchor="middle">{share} %</text>'
        for share in (0, 50, 100)
    )
    return f'<svg width="{_BAR + 2 * _MARGIN}" height="14" role="img" aria-label="kept, in percent">{labels}</svg>'


def _bar(share: float | None, colour: str) -> str:
    """Of all the width, as much as was kept; nothing at all where nothing is over."""
    if share is None:
        return "<small>nothing is over</small>"
    whole = f'<rect x="{_MARGIN}" width="{_BAR}" height="{_HEIGHT}" fill="#eef1f4" stroke="#d5dce3"/>'
    kept = f'<rect x="{_MARGIN}" width="{_BAR * share:.1f}" height="{_HEIGHT}" fill="{colour}"/>'
    half = _MARGIN + _BAR // 2
    middle = f'<line x1="{half}" x2="{half}" y1="0" y2="{_HEIGHT}" stroke="#ffffff"/>'
    size = f'width="{_BAR + 2 * _MARGIN}" height="{_HEIGHT}"'
    return f'<svg {size} role="img" aria-label="{percent(share)}">{whole}{kept}{middle}</svg>'


def _pauses(tally: Tally, names: Sequence[str]) -> Iterator[str]:
    if not any(tally.pauses):
        return
    headings = "".join(f"<th class=n>times, {escape(name)}<th class=n>clocks' time in all" for name in names)
    yield f"<h2>Paused</h2><div class=wide><table><thead><tr><th>reason<th>team{headings}"
    for pause in sorted({pause for side in tally.pauses for pause in side}):
        cells = "".join(
            f"<td class=n>{times[pause]:,}<td class=n>{format_duration(spent[pause]) if times[pause] else NOTHING}"
            for times, spent in zip(tally.pauses, tally.paused, strict=True)
        )
        yield f"<tbody><tr><td>{escape(pause.reason) or NOTHING}<td>{escape(pause.team) or _EMPTY['team']}{cells}"
    yield "</table></div>"


def _flips(tally: Tally, names: Sequence[str]) -> Iterator[str]:
    if len(names) == 1:
        return
    before, after = map(escape, names)
    yield f"<h2>What would end otherwise</h2><p>Before: {before}. After: {after}.</p>"
    if not tally.flips:
        yield "<p>Nothing.</p>"
        return
    yield "<div class=wide><table><thead><tr><th>metric<th>before<th>after<th class=n>times<tbody>"
    for flip, number in ordered(tally):
        yield f"<tr><td>{_metric(flip)}<td>{flip.before}<td>{flip.after}<td class=n>{number:,}"
    yield "</table></div><h2>Examples</h2><p>Times are in UTC. <code>puntual explain</code> tells more of a case.</p>"
    for flip, _ in ordered(tally):
        yield f"<h3>{_metric(flip)}: {flip.before} {_ARROW} {flip.after}</h3><div class=wide><table><thead>"
        yield "<tr><th>case<th>started<th>ended<th>policy before<th>due before<th>policy after<th>due after<tbody>"
        yield from (_row(example) for example in tally.examples[flip])
        yield "</table></div>"


def _metric(flip: Flip) -> str:
    return escape(flip.metric.replace("_", " "))


def _row(example: Example) -> str:
    case = example.record_id + (f", cycle {example.cycle}" if example.cycle > 1 else "")
    cells = (
        f"<td class=t>{_time(example.started_at)}<td class=t>{_time(example.stopped_at)}"
        f"<td>{escape(example.policy_before) or NOTHING}<td class=t>{_time(example.due_before)}"
        f"<td>{escape(example.policy_after) or NOTHING}<td class=t>{_time(example.due_after)}"
    )
    return f"<tr><td class=c>{escape(case)}{cells}"


def _time(at: Instant) -> str:
    return format_instant(at).replace("T", " ").removesuffix("Z") if at else NOTHING
