"""What a generation is made of, as far as it can be gone on from."""

from __future__ import annotations

import pytest

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from services.painter.domain.bodies import VaryBody
from services.painter.domain.record import Record
from services.painter.domain.telling import Seen
from services.painter.making import _again


@pytest.mark.parametrize("settings", [{}, {"prompt": 1}, {"prompt": "a", "width": -5}])
def test_settings_that_somebody_else_wrote_are_refused(settings: JsonObject):
    source = Seen("id", Record("generate", settings, ()), "succeeded", "")
    with pytest.raises(Refused) as caught:
        _again(source, VaryBody())
    assert caught.value.kind == "not_possible"
