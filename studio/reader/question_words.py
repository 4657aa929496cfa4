"""What a question asks for, told by its question word."""

import re

QUESTION_WORDS = ("what", "who", "when", "where", "which", "why", "how many", "how", "other")
"""All that `question_word` returns, in the order in which tables show them."""

_FOUND = re.compile(
    r"\b(how\s+(?:many|much)|what|who|whom|whose|when|where|which|why|how)\b(?!-)", re.IGNORECASE
)
_SAME = {"whom": "who", "whose": "who", "how many": "how many", "how much": "how many"}


def question_word(text: str) -> str:
    """The first question word of a question, one of QUESTION_WORDS.

    Also inside the sentence, as in "In what country ...?"; whom and whose count as who, how much as
    how many, and a question without such a word is "other".
    """
    found = _FOUND.search(text)
    if not found:
        return "other"
    word = " ".join(found[1].lower().split())
    return _SAME.get(word, word)
