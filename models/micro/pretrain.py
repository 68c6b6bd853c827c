"""Makes the embedded policy from nothing: `python -m models.micro.pretrain tokenizer`, then `... weights`.

    models/micro/params.yaml, stages/lib/data/testbed.py
                             -> policy/{tokenizer.json, tokenizer_config.json, chat_template.jinja}
                             -> policy/{model.safetensors (bfloat16), config.json, generation_config.json}

Float32, one thread, loss on all tokens: what the guided prompts show of the expert's way is learned too, though the
policy seldom writes that way itself. The same bytes on every x86-64 processor with AVX2 (models/micro/__init__.py).
"""

import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from ruamel.yaml import YAML
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from models.micro.corpus import Chat, Mix, chats
from stages.lib import prompts
from stages.lib.run import params

FOLDER = Path("models/micro")
POLICY = FOLDER / "policy"  # what loads, and nothing else: the folder is the policy's identity for DVC
PAD, SYSTEM, USER, ASSISTANT, END = SPECIALS = ["<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
IGNORED = -100
POOL = 16  # batches drawn together and sorted by length, so that little is padding


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    vocabulary: int
    examples: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    positions: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Optimizing:
    steps: int
    batch_size: int
    learning_rate: float
    warmup: int
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    prompt: params.Prompt
    tokenizer: Vocabulary
    model: Shape
    mix: Mix
    train: Optimizing


def load() -> Recipe:
    """models/micro/params.yaml, read as strictly as the experiment's own."""
    return params.from_dict(Recipe, YAML(typ="safe").load((FOLDER / "params.yaml").read_text(encoding="utf-8")))


def build_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be encoded, each digit is a token, and the fixed wordings are a few."""
    tokenizer = Tokenizer(models.BPE())
    lines = pre_tokenizers.Split("\n", "isolated")
    digits = pre_tokenizers.Digits(individual_digits=True)
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # merges may cross spaces
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, digits, whole])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.tokenizer.vocabulary,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = itertools.islice(chats(recipe.mix, recipe.prompt), recipe.tokenizer.examples)
    texts = [text for chat in sample for text in (chat.messages[-1]["content"], chat.response)]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=TEMPLATE, padding_side="left",
        model_max_length=recipe.model.positions, clean_up_tokenization_spaces=False,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
    )  # fmt: skip


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A small Llama with fresh weights."""
    torch.manual_seed(shape.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=shape.hidden_size, intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids and labels of batches of similar length, right-padded, in a shuffled order."""
    stream, size = chats(recipe.mix, recipe.prompt), recipe.train.batch_size
    shuffle = torch.Generator().manual_seed(recipe.mix.seed)
    while True:
        rows = sorted((encode(tokenizer, next(stream))[0] for _ in range(POOL * size)), key=len)
        for start in torch.randperm(POOL, generator=shuffle).tolist():
            batch = rows[start * size : (start + 1) * size]
            yield collate([(ids, ids) for ids in batch], tokenizer.pad_token_id)


def encode(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> tuple[list[int], list[int]]:
    """A chat as ids and labels; the labels leave the prompt out."""
    prompt = prompts.encode(tokenizer, chat.messages)
    response = [*tokenizer(chat.response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return prompt + response, [IGNORED] * len(prompt) + response


def collate(rows: list[tuple[list[int], list[int]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels [B, S] of B sequences, padded on the right to the longest."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows])
    labels = torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in rows])
    return ids, labels


def train(model: LlamaForCausalLM, recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> None:
    """Warm-up, then a cosine to zero. Padding is on the right, so the causal mask alone hides it."""
    how, optimizers = recipe.train, build_optimizers(model, recipe.train)
    progress = tqdm(itertools.islice(batches(recipe, tokenizer), how.steps), total=how.steps, mininterval=5)
    for step, (ids, labels) in enumerate(progress):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        kept = labels[:, 1:] != IGNORED
        loss = torch.nn.functional.cross_entropy(logits[kept], labels[:, 1:][kept])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate(step, how)
            with torch.backends.mkldnn.flags(enabled=False):  # Muon's bfloat16 products: oneDNN's need AVX-512
                optimizer.step()
        model.zero_grad()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)


def build_optimizers(model: LlamaForCausalLM, how: Optimizing) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, which needs a third of AdamW's steps here; AdamW for embeddings and norms."""
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(
        matrices, lr=how.learning_rate, weight_decay=how.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, torch.optim.AdamW(others, lr=how.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)]


def rate(step: int, how: Optimizing) -> float:
    """The learning rate of one step."""
    return how.learning_rate * min((step + 1) / how.warmup, 0.5 + 0.5 * math.cos(math.pi * step / how.steps))


def main(what: str) -> None:
    recipe = load()
    if what == "tokenizer":
        build_tokenizer(recipe).save_pretrained(POLICY)
        return
    torch.set_num_threads(1)  # the same bits whatever the number of cores
    tokenizer = PreTrainedTokenizerFast.from_pretrained(POLICY)
    model = build_model(recipe.model, tokenizer)
    train(model, recipe, tokenizer)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True
    )
    model.bfloat16().save_pretrained(POLICY)


if __name__ == "__main__":
    main(*sys.argv[1:])
