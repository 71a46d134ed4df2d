"""Control tokens of the chat templates of well-known model families, for attacks on text from outside."""

CONTROL_TOKENS = (
    # ChatML, Qwen, Yi, InternLM, Phi, Kimi, GLM, Granite, Falcon 3
    *("<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>", "<|end|>", "<|system|>", "<|user|>"),
    *("<|assistant|>", "<|im_user|>", "<|observation|>", "<|start_of_role|>", "<|end_of_role|>", "<|pad|>"),
    *("<|vision_start|>", "<|image_pad|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|tool|>"),
    # Llama 3 and 4
    *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>"),
    *("<|python_tag|>", "<|header_start|>", "<|eot|>", "<|reserved_special_token_0|>"),
    # harmony
    *("<|start|>", "<|channel|>", "<|message|>", "<|call|>", "<|return|>", "<|constrain|>"),
    # Command
    *("<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|START_THINKING|>", "<BOS_TOKEN>"),
    # Llama 2, Mistral, SentencePiece
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<unk>", "<pad>", "<0x0A>"),
    *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    *("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]", "[ARGS]", "[CALL_ID]", "[IMG]"),
    *("[PREFIX]", "[SUFFIX]", "[MIDDLE]", "[MODEL_SETTINGS]"),
    # Gemma
    *("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<unused42>", "<mask>"),
    *("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"),
    # DeepSeek, Hunyuan
    *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
    *("<｜tool▁calls▁begin｜>", "<｜hy_User｜>", "<｜fim▁hole｜>"),
    # thinking and tools
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "<tools>", "<seed:think>"),
    *("<seed:bos>", "<minimax:tool_call>", "<arg_key>", "<function=search>", "<SPECIAL_12>", "<extra_id_0>"),
    # GLM, MiniMax, EXAONE, BERT, Falcon, code models
    *(
        "[gMASK]",
        "[sMASK]",
        "[MASK]",
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "[BOS]",
        "[EOS]",
        "[|system|]",
        "[|endofturn|]",
    ),
    *("]~b]", "]~!b[", "[e~[", ">>QUESTION<<", ">>ANSWER<<", "[UNUSED_TOKEN_145]"),
    *("<file_sep>", "<repo_name>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<reserved_106>"),
)
