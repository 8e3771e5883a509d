"""Public holidays, as the `holidays` package knows them."""

from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches

import holidays


def public_holidays(place: str, year: int) -> Mapping[date, str]:
    """Those of a country ("ES") or subdivision ("ES-MD") in a year, with their names. Raises ValueError."""
    country, _, subdivision = place.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise ValueError(
            f"{place!r} is no country that has holidays here; write an ISO 3166 code, for example ES or ES-MD"
        )
    if subdivision and subdivision not in known[country]:
        near = get_close_matches(subdivision, known[country], 5, 0) or ["none"]
        raise ValueError(f"{place!r} is no subdivision of {country}; there are {', '.join(near)}, …")
    # In the country's own language, whatever that of this machine.
    language = getattr(holidays, country).default_language
    return dict(holidays.country_holidays(country, subdiv=subdivision or None, years=year, language=language))
