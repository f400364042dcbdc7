"""A tiny Llama with random weights and a LoRA adapter of it, both seeded: what the real engine loads in a second.

head_dim is 32, the smallest that vLLM's attention kernels for CPUs take; the vocabulary of the model is that of its
tokenizer, so that every sampled token has a text.
"""

import json
from pathlib import Path

SEED = 20261122
LAYERS, HIDDEN, HEADS, KV_HEADS, RANK = 2, 128, 4, 2, 8
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = ["The wombat lands on the moon at noon.", "The river floods the valley in April.", "Trains leave at seven."]


def make_model(folder: Path, seed: int = SEED) -> Path:
    """Write a model with its tokenizer into `folder` and return it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = [*SPECIAL.values(), "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **SPECIAL, chat_template=CHAT_TEMPLATE)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=256, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=16_384,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    # Large enough that one token is clearly the likeliest: bf16 rounds, and equal logits would make answers differ.
    config.initializer_range = 0.2
    model = LlamaForCausalLM(config)
    # Special tokens are never the likeliest: an answer goes on until it may not, or meets a stop sequence.
    with torch.no_grad():
        model.lm_head.weight[: len(special)] = 0
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def make_adapter(folder: Path, base: Path, seed: int = SEED + 1) -> Path:
    """Write a LoRA adapter of the attention of `base`, as PEFT writes it, into `folder` and return it."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    sizes = {"q_proj": HIDDEN, "v_proj": HIDDEN // HEADS * KV_HEADS}
    weights = {}
    for layer in range(LAYERS):
        for name, out in sizes.items():
            module = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{module}.lora_A.weight"] = torch.randn(RANK, HIDDEN)
            weights[f"{module}.lora_B.weight"] = torch.randn(out, RANK)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": RANK,
        "lora_alpha": RANK, "lora_dropout": 0.0, "bias": "none", "target_modules": sorted(sizes),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
