"""Which arms are measured when nobody chooses."""

from pathlib import Path

import pytest

from runtime_bench.job import arms


@pytest.mark.parametrize(("megabytes", "copied"), [(20, True), (200, False)])
def test_copies_of_a_large_ir_are_made_only_when_asked(
    tmp_path: Path, megabytes: int, copied: bool
) -> None:
    """Thirteen arms of BERT-base with a copy for each length filled 24 GB."""
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    with (tmp_path / "openvino_model.bin").open("wb") as weights:
        weights.truncate(megabytes * 1_000_000)
    where = arms.Setup("CPU", 1, mixed=True)
    found = arms.of_folders({"ir": tmp_path}, "ir", where)
    usual = [arm.name for arm in arms.choose(found, ["default"], "ir")]
    assert ("ir:static" in usual) == copied
    assert "ir:static" in [arm.name for arm in arms.choose(found, ["ir:static"], "ir")]
