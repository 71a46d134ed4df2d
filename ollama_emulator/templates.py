"""What a chat template does with a last message of the assistant, by the kind of template.

A GGUF file that is imported without a TEMPLATE gets the one of Ollama's own twenty that resembles its chat
template. Rendered one by one over a real server, all twenty close the assistant's turn: seventeen then open
another one of the assistant's, three one of the user's. A template that asks whether a message is the last
one leaves it open.
"""

from __future__ import annotations

from typing import Literal

Prefill = Literal["continue", "restart", "repeat", "trim_space", "user_turn"]
"""What the model says after a last message of the assistant.

`continue`: what follows it. `restart`: the whole answer anew. `repeat`: that text first, then what follows.
`trim_space`: what follows, without its leading blank. `user_turn`: whatever a user might say.
"""

CHECKS_LAST = "checks_last"
IMPORTED = "chatml"
"""What an imported file is taken to resemble if nobody says otherwise."""

_TEMPLATES: dict[Prefill, tuple[str, ...]] = {
    "continue": (CHECKS_LAST,),
    "user_turn": ("codellama-70b-instruct", "llama2-chat", "mistral-instruct"),
    "restart": (
        "alfred",
        "alpaca",
        "chatml",
        "chatqa",
        "command-r",
        "falcon-instruct",
        "gemma-instruct",
        "gemma3-instruct",
        "granite-instruct",
        "llama3-instruct",
        "magicoder",
        "openchat",
        "phi-3",
        "solar-instruct",
        "starcoder2-instruct",
        "vicuna",
        "zephyr",
    ),
}
AFTER_ASSISTANT: dict[str, Prefill] = {
    name: behaviour for behaviour, names in _TEMPLATES.items() for name in names
}
"""The behaviour of each kind of template."""
