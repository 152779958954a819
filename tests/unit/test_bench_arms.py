"""Which arms are measured when nobody chooses."""

import json
from pathlib import Path
from typing import Any

import pytest

from jpqd.core.errors import UserError
from runtime_bench.job import arms, prepare, sources
from runtime_bench.job.sources import Source
from runtime_bench.options import Settings
from tests.helpers import made_run, reseal


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


def test_an_ir_with_quantizers_has_no_arm_that_says_f32(tmp_path: Path) -> None:
    names = {}
    for quantized in (True, False):
        folder = tmp_path / f"ir_{quantized}"
        folder.mkdir()
        (folder / "openvino_model.xml").write_text('<layer type="FakeQuantize"/>' * quantized)
        found = arms.of_folders({"ir": folder}, "ir", arms.Setup("CPU", 2, mixed=True))
        names[quantized] = [arm.name for arm in found]
    assert names == {True: ["ir", "ir:static"], False: ["ir:f32", "ir", "ir:static"]}


@pytest.mark.parametrize(
    ("baseline", "first"), [("one", "one"), ("one:f32", "one:f32"), ("two:f32", "two:f32")]
)
def test_the_baseline_of_irs_runs_like_those_beside_it(
    tmp_path: Path, baseline: str, first: str
) -> None:
    """A device that prefers bf16 would make a copy look twice as fast as the same IR in f32."""
    folders = {name: tmp_path / name for name in ("one", "two")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "openvino_model.xml").write_text("<net/>")
    chosen = prepare.chosen(Settings(), Source(folders, baseline, None))
    assert chosen[0].name == first
    assert {"one", "two"} <= {arm.name for arm in chosen}


def test_the_baseline_of_a_stage_is_its_first_arm(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    found = arms.of_folders({"teacher": tmp_path}, "teacher", arms.Setup("CPU", 2, mixed=True))
    assert arms.first_of(found, "teacher").name == "teacher:f32"


def test_a_folder_in_a_run_that_lost_its_manifest_is_not_measured(tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made")
    (run / "jpqd_ir" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        arms.of_folders({"jpqd_ir": run / "jpqd_ir"}, "jpqd_ir", arms.Setup("CPU", 2, mixed=True))


@pytest.mark.parametrize(("family", "room"), [("bert", 512), ("mpnet", 510), ("roberta", 510)])
def test_requests_longer_than_the_positions_are_refused(
    tmp_path: Path, family: str, room: int
) -> None:
    config = {"model_type": family, "max_position_embeddings": 512, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = arms.of_folders({"m": tmp_path}, "m", arms.Setup("CPU", 2, mixed=True))
    arms.check_room(found, room)
    with pytest.raises(UserError, match=f"takes {room} tokens"):
        arms.check_room(found, room + 1)


def test_the_ir_of_a_model_server_is_refused(tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made")
    folder = run / "jpqd_ir"
    served = folder / "1" / "openvino_model.xml"
    served.parent.mkdir()
    (folder / "openvino_model.bin").rename(served)

    def move(manifest: dict[str, Any]) -> None:
        manifest["files"]["1/openvino_model.xml"] = manifest["files"].pop("openvino_model.bin")

    reseal.edit(folder / "manifest.json", move)
    with pytest.raises(UserError, match="Export it as layout: folder"):
        arms.of_folders({"jpqd_ir": folder}, "jpqd_ir", arms.Setup("CPU", 2, mixed=True))
    assert "jpqd_ir" not in sources.find([str(run)], tmp_path / "runs", None).folders


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / one / "x" / "m" for one in "abc"]
    for folder in folders:
        folder.mkdir(parents=True)
    found = sources.find([str(folder) for folder in folders], tmp_path, None)
    assert [*found.folders] == ["m", "x/m", "c/x/m"]
    assert [*found.folders.values()] == folders
