"""A BERT-base with random weights, for what depends on its size alone.

    python -m tests.helpers.random_bert FOLDER

Its tokenizer knows the words of the built-in corpus, and others that nobody uses up to 30,522.
"""

import sys
import tempfile
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification
from transformers.models.bert.tokenization_bert import BertTokenizer

from jpqd.model import loading
from jpqd.recipe.task import NewModel, Task

WORDS = 30_522


def write(folder: Path) -> None:
    torch.manual_seed(0)
    task = Task(name="reviews", dataset="builtin:reviews")
    with tempfile.TemporaryDirectory() as cache:
        small = loading.load_tokenizer(NewModel(new="bert"), task, Path(cache))
    words = dict(small.get_vocab())
    words |= {f"[unused{number}]": number for number in range(len(words), WORDS)}
    names = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}
    network = BertForSequenceClassification(BertConfig(vocab_size=WORDS, **names))
    loading.save(network, BertTokenizer(vocab=words, model_max_length=512), folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))
