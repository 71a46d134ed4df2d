"""The corpora there are, of every tenant."""

from __future__ import annotations

from backend.corpus.base import Catalogue, CorpusRef
from backend.security.base import KeyStore

LOCAL_TENANT = "local"


async def all_corpora(keys: KeyStore, catalogue: Catalogue) -> list[CorpusRef]:
    """Corpora of every tenant that ever had a key, and of this machine.

    Raises:
        StorageUnavailable
    """
    tenants = sorted({LOCAL_TENANT, *(key.tenant for key in await keys.keys())})
    return [corpus for tenant in tenants for corpus in await catalogue.corpora(tenant)]
