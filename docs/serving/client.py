"""Ask a model server over KServe's REST protocol, version 2, and print labels and probabilities.

    python client.py REPOSITORY "not bad at all" "a waste of time" --server http://localhost:8000

REPOSITORY is what `jpqd export --layout ovms` wrote: its `config.json` names the model, and
`client/` has the labels and the tokenizer. A model of two texts takes them with a tab between.
Needs the package `tokenizers`, and for a model with a fused tokenizer nothing at all.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

Tensor = dict[str, Any]


def ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer to a GET, or to a POST with a body; end with what the server says."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except HTTPError as error:
        sys.exit(f"{url}: {error.code} {error.read().decode(errors='replace')}")
    except URLError as error:
        sys.exit(f"{url}: no server answers: {error.reason}")


class Client:
    """A served model, with the labels and the tokenizer that lie in its repository."""

    def __init__(self, repository: Path, server: str) -> None:
        entry = json.loads((repository / "config.json").read_text())["model_config_list"][0]
        self.url = f"{server}/v2/models/{entry['config']['name']}"
        config = json.loads((repository / "client" / "config.json").read_text())
        self.labels: dict[str, str] = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
        self.inputs = ask(self.url)["inputs"]
        self.fused = self.inputs[0]["datatype"] == "BYTES"
        if not self.fused:
            from tokenizers import Tokenizer

            # It cuts at the length that the model was exported for.
            self.tokenizer = Tokenizer.from_file(str(repository / "client" / "tokenizer.json"))

    def tensors(self, texts: list[str]) -> list[Tensor]:
        """Return the inputs for one text, or for a pair: strings or tokens."""
        if self.fused:
            given = zip(self.inputs, texts, strict=True)
            return [_tensor(port["name"], "BYTES", [1], [text]) for port, text in given]
        encoded = self.tokenizer.encode(*texts)
        arrays = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        names = [port["name"] for port in self.inputs]
        return [_tensor(name, "INT64", [1, len(arrays[name])], arrays[name]) for name in names]

    def answer(self, line: str) -> tuple[str, float]:
        """Return the label and its probability; a regression has no label, but a value."""
        outputs = ask(f"{self.url}/infer", {"inputs": self.tensors(line.split("\t"))})["outputs"]
        output = next((output for output in outputs if output["name"] == "logits"), None)
        if output is None:
            sys.exit("this model answers with vectors, which this example does not pool")
        if len(output["shape"]) != 2:
            sys.exit("this model answers for every token, which this example does not read")
        logits = output["data"]
        if len(logits) == 1:
            return "value", logits[0]
        shares = [math.exp(logit - max(logits)) for logit in logits]
        best = max(range(len(logits)), key=logits.__getitem__)
        return self.labels[str(best)], shares[best] / sum(shares)


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> Tensor:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--server", default="http://localhost:8000")
    given = parser.parse_args()
    client = Client(given.repository, given.server.rstrip("/"))
    for text in given.texts:
        label, number = client.answer(text)
        print(f"{label} {number:.4f}\t{text}")


if __name__ == "__main__":
    main()
