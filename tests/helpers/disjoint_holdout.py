"""A hold-out of SST-2's train that shares no phrase with the rest.

SST-2's train holds whole sentences and their parts as rows of their own, so a random hold-out is
too easy: `python -m tests.helpers.disjoint_holdout train.tsv FOLDER` writes FOLDER/train.tsv and
hold.tsv.
"""

import random
import sys
from pathlib import Path

HELD_OUT = 1500
LONG = 9


def split(rows: list[str]) -> tuple[list[str], list[str]]:
    """Whole sentences that are part of no other row are held out; their parts are dropped."""
    texts = [f" {row.rsplit(chr(9), 1)[0].strip()} " for row in rows]
    long = [index for index, text in enumerate(texts) if len(text.split()) >= LONG]
    everything = "\n".join(texts[index] for index in long)
    whole = [index for index in long if everything.count(texts[index]) == 1]
    held_out = sorted(random.Random(123).sample(whole, HELD_OUT))
    theirs = "\n".join(texts[index] for index in held_out)
    rest = [index for index in range(len(rows)) if texts[index] not in theirs]
    return [rows[index] for index in rest], [rows[index] for index in held_out]


def main(source: Path, folder: Path) -> None:
    header, *rows = source.read_text().splitlines()
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in zip(("train", "hold"), split(rows), strict=True):
        (folder / f"{name}.tsv").write_text("\n".join([header, *part]) + "\n")
        print(f"{name}: {len(part)} rows")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
