"""Who asks: from a bearer key, from a cookie, or, on loopback without keys, anyone."""

from __future__ import annotations

from collections.abc import Iterator

from backend.core.errors import Unauthenticated
from backend.core.types import ANY_CORPUS, Principal, Role
from backend.environment import cleaned
from backend.security.base import KeyStore
from backend.security.cookies import Cookies
from backend.security.keys import digest, mac, same
from backend.security.server_secret import ServerSecret

_EVERYTHING = frozenset(Role)
_OPERATOR = "operator"


class Identity:
    """Credentials to principals.

    Args:
        api_key: The operator's own key, from the settings; "" if there is none.
        secret: Keys the marks by which cookies name `api_key`.
        tenant: Tenant of the operator's key and of loopback readers.
        start_token: Stands for the operator as long as this process runs, without asking anybody else for
            a key; "" if there is none.
    """

    def __init__(
        self,
        keys: KeyStore,
        cookies: Cookies,
        *,
        api_key: str,
        secret: ServerSecret,
        tenant: str = "local",
        start_token: str = "",
    ) -> None:
        self._keys = keys
        self._cookies = cookies
        self._tenant = tenant
        self._digest = digest(api_key) if api_key else ""
        self._start_digest = digest(start_token) if start_token else ""
        self._marks = tuple(_marks(secret, api_key)) if api_key else ()

    async def is_required(self) -> bool:
        """Whether a caller must show a key, or a cookie given for one."""
        return bool(self._digest) or await self._keys.exist()

    async def of_key(self, secret: str) -> Principal:
        """Who asks with this bearer key.

        Raises:
            Unauthenticated, StorageUnavailable
        """
        if self._is_operator(secret) or self._is(self._start_digest, secret):
            return Principal(self._tenant, _OPERATOR, _EVERYTHING, frozenset({ANY_CORPUS}))
        return (await self._keys.authenticate(secret)).principal

    async def of_cookie(self, value: str) -> Principal:
        """Which browser asks; with what its key may do, as long as that key is good.

        Raises:
            Unauthenticated, StorageUnavailable
        """
        session = self._cookies.read(value)
        if session is None:
            raise Unauthenticated("please sign in")
        if not session.credential:
            if await self.is_required():
                raise Unauthenticated("please sign in")
            return self._everything(session.subject)
        if session.credential.startswith(f"{_OPERATOR}-"):
            if session.credential not in self._marks:
                raise Unauthenticated("please sign in")
            return self._everything(session.subject)
        granted = (await self._keys.get(session.credential)).principal
        return Principal(granted.tenant, session.subject, granted.roles, granted.corpora)

    async def is_good(self, cookie: str) -> bool:
        """Whether this cookie makes a browser a subject now.

        Raises:
            StorageUnavailable
        """
        try:
            await self.of_cookie(cookie)
        except Unauthenticated:
            return False
        return True

    async def sign_in(self, secret: str) -> str:
        """A cookie's value for a browser whose reader knows a key; what was pasted around it does not matter.

        Raises:
            Unauthenticated, StorageUnavailable
        """
        secret = cleaned(secret)
        if self._is_operator(secret):
            return self._cookies.issue(credential=self._marks[0])
        return self._cookies.issue(credential=(await self._keys.authenticate(secret)).id)

    def visitor(self) -> str:
        """A cookie's value for a browser that showed no key; worth something only where none is required."""
        return self._cookies.issue()

    def renewed(self, value: str) -> str | None:
        """The same subject's next cookie, if this one is good and ageing."""
        session = self._cookies.read(value)
        if session is None or not self._cookies.is_ageing(session):
            return None
        is_operator = session.credential in self._marks
        credential = self._marks[0] if is_operator else session.credential
        return self._cookies.issue(credential=credential, subject=session.subject)

    def _is_operator(self, secret: str) -> bool:
        return self._is(self._digest, secret)

    @staticmethod
    def _is(expected: str, secret: str) -> bool:
        return bool(expected) and same(expected, digest(secret))

    def _everything(self, subject: str) -> Principal:
        return Principal(self._tenant, subject, _EVERYTHING, frozenset({ANY_CORPUS}))


def _marks(secret: ServerSecret, api_key: str) -> Iterator[str]:
    """Names the operator's key without telling it, today's name first: another `api_key` ends its cookies."""
    for key in secret.keys("operator"):
        yield f"{_OPERATOR}-{mac(key, api_key)[:32]}"
    for key in secret.every:  # by releases before docs/adr/0019
        yield f"{_OPERATOR}-{mac(key, mac(key, api_key))[:16]}"
