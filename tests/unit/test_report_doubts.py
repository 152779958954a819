"""What a report does with damage, with names that a stranger chose, and with what is not there."""

import json
import re
import shutil
from pathlib import Path

import pytest

from jpqd.core import artifact
from jpqd.core.errors import UserError
from tests.helpers import made_run, reseal
from tests.helpers.pages import DEPLOYED, LATENCY, Reader, written

EVIL = "<script>alert(1)</script> & $x$ | `a` [b](http://c)"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run.make(tmp_path / "runs" / "made")


def test_what_a_person_named_is_shown_and_not_run(tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made", task=EVIL)
    labels = ["</pre><script>alert(2)</script>", "&amp;"]
    reseal.edit(run / "recipe.json", lambda recipe: recipe["task"].update(labels=labels))
    (run / "jpqd_ir").rename(run / "<b>&$x$|")
    reseal.edit(run / "<b>&$x$|" / "manifest.json", lambda kept: kept.update(stage="<b>&$x$|"))
    page, text = written(run)
    read = Reader(page)
    assert "script" not in read.tags and "b" not in read.tags
    assert EVIL in read.text and "</pre><script>alert(2)</script>" in read.text
    assert read.row("Stages", "<b>&$x$|")["weights"] == "INT8"
    assert "<b>" not in text and "| &lt;b&gt;&amp;$x$\\| |" in text


@pytest.mark.parametrize(
    "name", ['x" onload="alert(1)', "<script>alert(1)<script>", "a<img src=x>"]
)
def test_no_name_of_a_stage_becomes_html(run: Path, name: str) -> None:
    for stage, called in (("jpqd", f"{name} 1"), ("jpqd_ir", name)):
        (run / stage).rename(run / called)
        reseal.edit(run / called / "manifest.json", lambda kept, c=called: kept.update(stage=c))
    path = run / "bench" / "bench.json"
    path.write_text(path.read_text().replace('"jpqd_ir"', json.dumps(name)))
    entry = {"sha256": artifact.hash_file(path), "bytes": path.stat().st_size}
    reseal.edit(run / "bench" / "manifest.json",
                lambda kept: kept["files"].update({"bench.json": entry}))  # fmt: skip
    page, text = written(run)
    read = Reader(page)
    assert {"script", "img"}.isdisjoint(read.tags)
    assert not any(attribute.startswith("on") for attribute in read.attributes)
    assert name in read.text
    assert len(read.ids) == len(set(read.ids)) and not any("alert" in one for one in read.ids)
    assert re.findall(r"<[a-z/!]", text.rpartition("<!-- sha256")[0]) == []


def test_names_in_charts_are_plain_text(run: Path) -> None:
    from jpqd.report.page import svg

    with svg.style():
        drawn = svg.figure(1)
        drawn.add_subplot().set_title("<script>&$x$")
        text = svg.text(drawn, "one", "<b>", "&")
    read = Reader(text)
    assert "<script>&$x$" in read.text and "script" not in read.tags and "b" not in read.tags


def test_no_bench_says_how_to_get_it(tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made", bench=False)
    page, text = written(run)
    read = Reader(page)
    assert "Run jpqd bench made, then jpqd report made again." in read.text
    assert "Run jpqd bench made" in text
    assert read.row("Stages", "jpqd")["encoder kept"] == "29.7%"
    assert "speed ratio [95%]" not in read.row(DEPLOYED, "jpqd_ir")
    assert read.tags.count("svg") == 3


def test_no_history_leaves_out_the_curves_only(run: Path) -> None:
    for stage in ("teacher", "jpqd"):
        (run / stage / "history.json").unlink()
        reseal.edit(run / stage / "manifest.json", lambda kept: kept["files"].pop("history.json"))
    read = Reader(written(run)[0])
    assert "There is no history of the steps." in read.text
    assert read.row("Training", "jpqd")["its value"] == "91.25"


@pytest.mark.parametrize("name", ["bench/bench.json", "bench/samples.npz", "jpqd/history.json"])
def test_a_damaged_run_says_so_on_top_and_shows_nothing_of_the_file(run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:100])
    page, text = written(run)
    stage = name.partition("/")[0]
    for shown in (Reader(page).text, text):
        assert f"This run is damaged: {name}: 100 bytes instead of" in shown
        assert f"Do not trust the figures of {stage}" in shown
        assert shown.index("This run is damaged") < shown.index("jpqd_ir has accuracy")
    assert (LATENCY in Reader(page).tables) == (name != "bench/bench.json")


def test_figures_of_what_was_made_of_a_damaged_stage_are_not_trusted(run: Path) -> None:
    path = run / "jpqd" / "model.safetensors"
    path.write_bytes(b"y" * path.stat().st_size)
    text = Reader(written(run)[0]).text
    assert "jpqd/model.safetensors: content differs from its SHA-256" in text
    assert "Do not trust the figures of jpqd, jpqd_ir." in text


def test_a_stage_of_the_recipe_that_is_gone_is_missed_on_top(run: Path) -> None:
    shutil.rmtree(run / "bench")
    stages = {"teacher": {"use": "train"}, "jpqd": {"use": "train"}, "bench": {"use": "bench"}}
    reseal.edit(run / "recipe.json", lambda kept: kept.update(stages=stages))
    for shown in (Reader(written(run)[0]).text, written(run)[1]):
        assert "Missing, because not sealed: bench." in shown


def test_a_whole_run_has_no_warning(run: Path) -> None:
    page, text = written(run)
    assert 'class="warnings"' not in page and "Warning" not in text


def test_a_disturbed_benchmark_says_so_above_its_figures(run: Path) -> None:
    made_run.benchmark(run, disturbed=(3, 7))
    text = Reader(written(run)[0]).text
    warning = "Speed: in 2 of 30 blocks other programs used the processors"
    assert text.index(warning) < text.index("11.20")
    assert "disturbed by other programs: 3, 7" in text


def test_nothing_sealed_is_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "made"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text('{"stages": {"teacher": {}}, "task": {"name": "t"}}')
    with pytest.raises(UserError, match="no stage is sealed"):
        written(folder)
