"""The one catalogue of tables, and the column types they share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

METADATA: Final = MetaData()
MOMENT: Final = TIMESTAMP(timezone=True)
DOCUMENT: Final = JSONB(none_as_null=True)
