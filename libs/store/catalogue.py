"""All tables; importing this module fills the metadata that migrations are compared with."""

from __future__ import annotations

from libs.store.digest import REBUILDABLE
from libs.store.readmodels.api_keys import API_KEYS
from libs.store.readmodels.checkpoint import CHECKPOINT
from libs.store.readmodels.data_keys import DATA_KEYS
from libs.store.readmodels.event_log import EVENT_LOG
from libs.store.readmodels.painter import FAVOURITES, TEXTS
from libs.store.readmodels.sessions import SESSIONS
from libs.store.readmodels.uploads import UPLOADS
from libs.store.readmodels.user_documents import USER_DOCUMENTS
from libs.store.readmodels.workflow_versions import WORKFLOW_VERSIONS

TABLES = (
    EVENT_LOG,
    CHECKPOINT,
    *REBUILDABLE,
    UPLOADS,
    USER_DOCUMENTS,
    WORKFLOW_VERSIONS,
    API_KEYS,
    SESSIONS,
    DATA_KEYS,
    FAVOURITES,
    TEXTS,
)
