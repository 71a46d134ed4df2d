"""A chat model of some hundred kilobytes in llama.cpp's format: it knows one sentence.

The blocks of the network add nothing (their output matrices are zero), so what follows a token depends on
that token alone: row `next` of the output matrix points along the embedding of `token`. The prompt of the
template below ends in a line feed; the sentence starts there. Its last word leads to the end ("recite") or
back to its first ("babble", which never ends). Its words are tokens in a prompt as well, so the model goes on
from any beginning of it; of other text nearly every byte is a token.
"""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

ANSWER = (
    "The reading room opens at ten o'clock [1], and a card of the library lets you borrow six books "
    "for three weeks [2]."
)
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
THINKING = TEMPLATE.replace(
    "assistant\n{% endif %}",
    "assistant\n<think>\n{% if enable_thinking is false %}\n</think>\n\n{% endif %}{% endif %}",
)
"""The same for a model that thinks unless told not to."""
_WIDTH, _LAYERS, _HEADS, _CONTEXT = 128, 1, 2, 32768


def build(
    path: Path, *, mode: str = "recite", answer: str = ANSWER, template: str = TEMPLATE, seed: int = 7
) -> Path:
    """Write the model to `path`; the same arguments give the same bytes."""
    words = _words(answer)
    letters = _letters()
    tokens = [*letters, *words]
    joined = letters[ord("t")] + letters[ord("h")]
    start, end = len(tokens), len(tokens) + 1
    tokens += ["<|start|>", "<|end|>", joined]
    chain = [ord("\n"), *range(256, start)]
    after = [*chain[1:], end if mode == "recite" else 256]
    rng = np.random.default_rng(seed)
    embedding = rng.standard_normal((len(tokens), _WIDTH)).astype(np.float32)
    output = np.zeros_like(embedding)
    for token, following in zip(chain, after, strict=True):
        output[following] += embedding[token]
    writer = gguf.GGUFWriter(str(path), "llama")
    kind = gguf.TokenType
    kinds = [kind.NORMAL] * len(letters) + [kind.USER_DEFINED] * len(words)
    kinds += [kind.CONTROL, kind.CONTROL, kind.NORMAL]
    _describe(writer, tokens, kinds, template)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", np.ones(_WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    _add_blocks(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _words(answer: str) -> list[str]:
    """The answer in pieces that are all different and no single byte."""
    pieces: list[str] = []
    held = ""
    for i, word in enumerate(answer.split(" ")):
        held += f" {word}" if i else word
        if held not in pieces and len(held.encode()) > 1:
            pieces.append(held)
            held = ""
    assert not held, "reword the answer: it ends in a word that came before"
    return pieces


def _letters() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256)]


def _describe(writer: gguf.GGUFWriter, tokens: list[str], kinds: Sequence[int], template: str) -> None:
    end = len(tokens) - 2
    writer.add_name("tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _add_blocks(writer: gguf.GGUFWriter) -> None:
    ones, zeros = np.ones(_WIDTH, np.float32), np.zeros((_WIDTH, _WIDTH), np.float32)
    for layer in range(_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", ones)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", zeros)
