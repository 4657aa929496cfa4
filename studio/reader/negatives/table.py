"""The closed table of rules, and how much of each a set gets where nothing else is asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from studio.reader.negatives.case import Rule
from studio.reader.negatives.rules.another_word import another_word
from studio.reader.negatives.rules.condition import condition
from studio.reader.negatives.rules.dates import swap_date
from studio.reader.negatives.rules.elsewhere import elsewhere
from studio.reader.negatives.rules.exclusion import exclusion
from studio.reader.negatives.rules.names import swap_name
from studio.reader.negatives.rules.negation import negation
from studio.reader.negatives.rules.numbers import swap_number
from studio.reader.negatives.rules.opposites import opposite
from studio.reader.negatives.rules.other_asked import other_asked
from studio.reader.negatives.rules.passage import swap_told, without

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "elsewhere": elsewhere,
        "without": without,
        "told": swap_told,
        "name": swap_name,
        "date": swap_date,
        "number": swap_number,
        "opposite": opposite,
        "exclusion": exclusion,
        "negation": negation,
        "condition": condition,
        "word": another_word,
        "asked": other_asked,
    }
)
"""Every rule by the name that stands in the ids of what it makes."""

MIX: Mapping[str, float] = MappingProxyType(
    {
        "elsewhere": 0.14,
        "without": 0.1,
        "told": 0.12,
        "name": 0.16,
        "date": 0.05,
        "number": 0.04,
        "opposite": 0.09,
        "exclusion": 0.04,
        "negation": 0.06,
        "condition": 0.05,
        "word": 0.12,
        "asked": 0.03,
    }
)
"""Shares of the rules in what is made; they add up to 1."""
