"""Which part of a long list is wanted."""

from typing import Annotated

from fastapi import Query

Offset = Annotated[int, Query(ge=0, le=10**9, description="How many to leave out.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many to list.")]
