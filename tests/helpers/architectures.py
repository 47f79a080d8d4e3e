"""Untrained checkpoints of many architectures, with tokenizers of their families; their way through the chain."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from finetune.classification.calibration import calibrated
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.run import run
from tests.helpers.finetuning import finetune_config, write_chain

BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
# The size of every model; XLM-R's positions begin after the padding id.
SIZE, LAYERS, HEADS, POSITIONS = 16, 2, 2, 66

# Name → configuration class, family of tokenizers, settings that differ from `sizes`.
ARCHITECTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "wordpiece", {}),
    "roberta": ("RobertaConfig", "bpe", {"type_vocab_size": 1}),
    "distilbert": (
        "DistilBertConfig", "wordpiece",
        {"dim": SIZE, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 2 * SIZE},
    ),
    "electra": ("ElectraConfig", "wordpiece", {"embedding_size": SIZE}),
    "modernbert": ("ModernBertConfig", "wordpiece", {}),
    "albert": ("AlbertConfig", "unigram", {"embedding_size": 8}),
    "deberta-v2": ("DebertaV2Config", "unigram", {"relative_attention": True, "position_buckets": 8}),
    "mpnet": ("MPNetConfig", "wordpiece-roberta", {}),
    "camembert": ("CamembertConfig", "unigram-roberta", {"type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaConfig", "unigram-roberta", {"type_vocab_size": 1}),
    "convbert": ("ConvBertConfig", "wordpiece", {"embedding_size": SIZE}),
    "mobilebert": (
        "MobileBertConfig", "wordpiece",
        {"embedding_size": 8, "intra_bottleneck_size": SIZE, "true_hidden_size": SIZE},
    ),
    "squeezebert": ("SqueezeBertConfig", "wordpiece", {"embedding_size": SIZE}),
    "ernie": ("ErnieConfig", "wordpiece", {}),
    "big_bird": ("BigBirdConfig", "unigram", {"attention_type": "original_full"}),
    "nystromformer": ("NystromformerConfig", "unigram", {"num_landmarks": 64, "segment_means_seq_len": 64}),
    "rembert": ("RemBertConfig", "unigram", {"input_embedding_size": 8, "output_embedding_size": 8}),
    "esm": ("EsmConfig", "unigram-esm", {"mask_token_id": 4, "position_embedding_type": "absolute"}),
}  # fmt: skip


def trained_tokenizer(family: str, texts: Iterable[str], folder: Path) -> Any:
    """A tokenizer of a family, saved in `folder`: kind of pieces, then the format of texts and pairs."""
    kind, _, form = family.partition("-")
    special = list(ROBERTA if form in ("roberta", "esm") or kind == "bpe" else BERT)
    unknown, first, last = special[1:4]
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False)
        tokenizer.decoder = decoders.WordPiece()
    elif kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token=unknown, show_progress=False
        )
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in (first, last)]
    forms = {
        "": (f"{first} $A {last}", f"{first} $A {last} $B:1 {last}:1"),
        "roberta": (f"{first} $A {last}", f"{first} $A {last} {last} $B {last}"),
        "esm": (f"{first} $A {last}", f"{first} $A {last} $B {last}"),
        # XLNet's.
        "last": (f"$A {last} {first}", f"$A {last} $B:1 {last}:1 {first}"),
    }
    single, pair = forms["roberta" if kind == "bpe" else form]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS - 2,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **dict(zip(names, special, strict=True)),
    )
    fast.save_pretrained(folder)
    return fast


def checkpoint(name: str, texts: Iterable[str], folder: Path) -> str:
    """The folder of an untrained masked-language model of this architecture, and its tokenizer."""
    config_class, family, settings = ARCHITECTURES[name]
    tokenizer = trained_tokenizer(family, texts, folder)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "max_position_embeddings": POSITIONS,
    }
    if name != "distilbert":
        sizes |= {"hidden_size": SIZE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
        sizes |= {"intermediate_size": 2 * SIZE}
    if name == "modernbert":
        sizes |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    torch.manual_seed(0)
    config = getattr(transformers, config_class)(**sizes | settings)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return str(folder)


def write_pairs(folder: Path) -> list[str]:
    """Write a chain whose labelled texts are pairs; gives the training texts."""
    write_chain(folder)
    texts = []
    for split in ("train", "validation", "test"):
        file = folder / "labelled" / f"{split}.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            row["text"], _, row["second"] = row["text"].partition(". ")
            texts += [row["text"], row["second"]]
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return texts


def through_the_chain(name: str, folder: Path) -> float:
    """Fine-tune a checkpoint on pairs, each layer with a rate of its own, export it, and classify with `pipeline`.

    Returns:
        The largest difference of a probability from that of the run's test, calibrated.
    """
    texts = write_pairs(folder)
    found = run(
        finetune_config(
            folder,
            model__name=checkpoint(name, texts, folder / name),
            corpus__second_text_column="second",
            sequence_length=20,
            training__duration="6 steps",
            # Layers that share their weights cannot have rates of their own.
            optimizer__layer_decay=1.0 if name == "albert" else 0.9,
        )
    )
    target = export(ExportConfig(str(found.path), str(folder / "exported"), check=False))
    table = pyarrow.parquet.read_table(found.path / "predictions.parquet")
    classify = transformers.pipeline("text-classification", model=target)
    pairs = zip(table["text"].to_pylist(), table["second_text"].to_pylist(), strict=True)
    scores: Any = classify([{"text": text, "text_pair": second} for text, second in pairs], top_k=None, truncation=True)
    by_name = [{entry["label"]: entry["score"] for entry in entries} for entries in scores]
    probabilities = np.array([[entry[label] for label in ("negative", "positive")] for entry in by_name])
    tested = np.log(np.array(table["probabilities"].to_pylist(), dtype=np.float64))
    return float(np.abs(probabilities - calibrated(tested, found.result()["temperature"])).max())
