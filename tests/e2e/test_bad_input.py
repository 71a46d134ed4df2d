"""The running application against the worst of what the benchmark tries."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from devstack.child import in_thread
from devstack.replica import Replica, replica
from loadtests.bad_input.bodies import address_inputs, json_inputs, send
from loadtests.bad_input.model_server import EchoModel, echo_model
from loadtests.bad_input.raw import slow_bodies, try_raw
from loadtests.bad_input.tally import Tally
from loadtests.bad_input.texts import leaks, try_texts
from loadtests.bad_input.uploads import ODD_FORMS, PATH

SECRET = "test-secret-0123456789abcdef0123456789"

Attack = Callable[[httpx.AsyncClient, Replica, EchoModel, Tally], Awaitable[None]]


async def forms(client: httpx.AsyncClient, app: Replica, model: EchoModel, tally: Tally) -> None:
    for name, (headers, body) in ODD_FORMS.items():
        answer = await client.post(PATH, content=body, headers=headers)
        tally.add("forms", name, answer.status_code, answer.content, refuse=True)


async def bodies(client: httpx.AsyncClient, app: Replica, model: EchoModel, tally: Tally) -> None:
    for wanted in (*address_inputs(), *json_inputs()):
        await send(client, wanted, tally)


async def raw_bytes(client: httpx.AsyncClient, app: Replica, model: EchoModel, tally: Tally) -> None:
    await try_raw(app.port, tally, body_timeout_s=1.0)
    assert await slow_bodies(app.port, tally, connections=5, body_timeout_s=1.0) < 30


async def texts(client: httpx.AsyncClient, app: Replica, model: EchoModel, tally: Tally) -> None:
    seen = await try_texts(client, model, tally, quick=True)
    assert seen["forged events"] == 0
    assert seen["control tokens in prompts"] == 0
    assert seen["documents in the system message"] == 0
    assert seen["prompts with a poisoned passage"] > 10
    assert await leaks(client, app.log, (SECRET,)) == 0


@pytest.fixture(scope="module")
def found(models_dir: Path) -> dict[str, Tally]:
    """A tally of each attack; the application is started once."""

    async def run() -> dict[str, Tally]:
        tallies = {attack.__name__: Tally() for attack in ATTACKS}
        async with echo_model() as model:
            settings = {
                "LIBRI_ENGINE__BACKEND": "openai",
                "LIBRI_ENGINE__OPENAI_URLS": model.url,
                "LIBRI_ENGINE__OPENAI_API_KEY": SECRET,
                "LIBRI_SERVER__BODY_TIMEOUT_S": "1",
                "LIBRI_DATA__MODELS_DIR": str(models_dir),
                "LIBRI_LOGGING__LEVEL": "DEBUG",
            }
            async with (
                in_thread(replica(settings)) as app,
                httpx.AsyncClient(base_url=app.url, timeout=60) as client,
            ):
                for attack in ATTACKS:
                    await attack(client, app, model, tallies[attack.__name__])
                return tallies

    return asyncio.run(run())


ATTACKS: tuple[Attack, ...] = (texts, bodies, forms, raw_bytes)


@pytest.mark.parametrize("attack", [attack.__name__ for attack in ATTACKS])
def test_bad_input_is_refused_briefly_and_breaks_nothing(found, attack):
    tally = found[attack]
    assert tally.surprises == []
    assert tally.total("tried") > 10
    assert tally.total("server_errors") == 0
    assert tally.largest_error_bytes < 1024
