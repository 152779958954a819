"""`jpqd report`: what stands on the page is what is sealed, safe to open, the same each time."""

import itertools
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jpqd.core import artifact, files, seals
from jpqd.core.errors import UserError
from jpqd.report.page import charts, markdown, write
from jpqd.run import finder
from jpqd.scores import predictions
from jpqd.tasks.regression import Regression
from tests.helpers import made_bench, made_run, reseal, tiny
from tests.helpers.pages import Reader, styles_load

LATENCY = f"Latency, {made_bench.WORKLOAD}"


def written(folder: Path) -> tuple[str, str]:
    page, text = write.write(finder.find(folder.parent, folder.name), None)
    return page.read_text(), text.read_text()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run.make(tmp_path / "runs" / "made")


def test_the_stage_table_holds_the_manifests_numbers(run: Path) -> None:
    row = Reader(written(run)[0]).row("Stages", "jpqd")
    assert row["accuracy, % [95%]"] == "91.00 [85.00, 95.00]"
    assert (row["n"], row["measured on"]) == ("400", "validation")
    assert row["points [95%]"].startswith("+1.00 [")
    assert (row["file, MB"], row["parameters"]) == ("4.00", "297,100")
    assert (row["encoder kept"], row["precision"]) == ("29.7%", "INT8")


def test_speed_stands_with_intervals_and_what_is_missing_with_its_n(run: Path) -> None:
    page = Reader(written(run)[0])
    row = page.row("Stages", "jpqd_ir")
    assert row["speed ratio [95%]"] == "11.20x [10.98, 11.42]"
    assert row["p50, ms [95%]"] == "1.00 [0.980, 1.02]"
    assert row["p99, ms [95%]"] == "needs n >= 299"
    assert row["memory, MB"] == "100"
    assert page.row(LATENCY, "jpqd_ir")["n"] == "240"
    assert page.row(LATENCY, "teacher")["speed ratio [95%]"] == "baseline"


def test_the_headline_is_the_main_result(run: Path) -> None:
    text = Reader(written(run)[0]).text
    assert "jpqd: 29.7% of the encoder's weights, INT8, +1.00 points [" in text
    assert (
        "against teacher (n 400), 11.20x [10.98, 11.42] as fast as PyTorch f32 (jpqd_ir, " in text
    )


@pytest.mark.parametrize(("static", "ratio"), [(0.5, "22.40x"), (2.0, "11.20x")])
def test_an_ir_stands_for_its_faster_way_to_run(run: Path, static: float, ratio: str) -> None:
    made_run.benchmark(run, more={"jpqd_ir:static": static})
    page = Reader(written(run)[0])
    assert page.row("Stages", "jpqd_ir")["speed ratio [95%]"].startswith(ratio)
    way = "jpqd_ir:static" if static < 1 else "jpqd_ir"
    assert re.search(rf"{ratio} \S+ \S+ as fast as PyTorch f32 \({way}, ", page.text)
    assert ("As static copies, which are faster here: jpqd_ir." in page.text) == (static < 1)


def test_an_ir_that_answers_otherwise_than_its_model_is_named(run: Path) -> None:
    made_run.exported(run, "jpqd_other", "jpqd", wrong=44)
    text = Reader(written(run)[0]).text
    assert "jpqd_other: accuracy 89.00% on validation, its model accuracy 91.00% (n 400)." in text
    assert "jpqd_ir: accuracy" not in text


def test_layers_training_and_checks(run: Path) -> None:
    page = Reader(written(run)[0])
    assert page.tables["Heads / neurons of every layer"][1:] == [
        ["1", "12 / 1536", "5 / 384"],
        ["2", "12 / 1536", "0 / 64"],
    ]
    assert "5 of 24 heads" in page.text and "448 of 3,072 neurons" in page.text
    trained = page.row("Training", "jpqd")
    assert (trained["its value"], trained["n"], trained["chosen by"]) == ("91.25", "80", "accuracy")
    checked = page.row("Exports against their models", "jpqd_ir")
    assert (checked["same prediction, %"], checked["n"]) == ("99.75", "400")


def test_every_chart_is_there_and_says_what_it_shows(run: Path) -> None:
    page = Reader(written(run)[0])
    assert page.tags.count("svg") == 5  # trade-off, distributions, layers, two trainings
    assert page.tags.count("desc") == 5
    assert len(page.ids) == len(set(page.ids))
    assert "layer 2: 0 heads, 64 neurons" in page.text


def test_a_page_loads_nothing(run: Path) -> None:
    page = written(run)[0]
    read = Reader(page)
    assert {place for place in read.loads if not place.startswith("#")} == {"data:,"}
    assert styles_load(page) == []
    assert {"script", "iframe", "img"}.isdisjoint(read.tags)
    assert "http://" not in page and "https://" not in page
    inside = {place[1:] for place in read.loads if place.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert inside <= set(read.ids)


EVIL = "<script>alert(1)</script> & $x$ | `a` [b](http://c)"


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
    assert read.row("Stages", "<b>&$x$|")["precision"] == "INT8"
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


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """In other processes, whose sets have another order."""
    pages = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        arguments = ["report", "made", "--runs", run.parent, "--out", out]
        environment = {**tiny.environment(), "PYTHONHASHSEED": seed}
        subprocess.run(tiny.command(*arguments), env=environment, check=True, capture_output=True)
        pages.append([(out / name).read_bytes() for name in ("report.html", "report.md")])
    assert pages[0] == pages[1]


def test_no_bench_says_how_to_get_it(tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made", bench=False)
    page, text = written(run)
    read = Reader(page)
    assert "Run jpqd bench made, then jpqd report made again." in read.text
    assert "Run jpqd bench made" in text
    assert read.row("Stages", "jpqd")["encoder kept"] == "29.7%"
    assert read.tags.count("svg") == 3


def test_no_history_leaves_out_the_curves_only(run: Path) -> None:
    for stage in ("teacher", "jpqd"):
        (run / stage / "history.json").unlink()
        reseal.edit(run / stage / "manifest.json", lambda kept: kept["files"].pop("history.json"))
    read = Reader(written(run)[0])
    assert "There is no history of the steps." in read.text
    assert read.row("Training", "jpqd")["its value"] == "91.25"


@pytest.mark.parametrize("name", ["bench/bench.json", "bench/samples.npz", "jpqd/history.json"])
def test_a_file_that_is_not_as_it_was_sealed_is_named(run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:100])
    with pytest.raises(UserError, match=re.escape(name)):
        written(run)
    assert not (run / "report.html").exists()


def test_the_newest_benchmark_counts(run: Path) -> None:
    made_run.benchmark(run, "bench_manual")
    path = run / "bench" / "manifest.json"
    old = {**json.loads(path.read_text()), "created": "2020-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(old))
    (run / "bench" / "bench.json").write_text("torn")  # is not asked
    assert "11.20x" in written(run)[0]


def test_a_disturbed_benchmark_says_so(run: Path) -> None:
    made_run.benchmark(run, disturbed=(3, 7))
    text = Reader(written(run)[0]).text
    assert "in 2 of 30 blocks other programs used the processors" in text
    assert "disturbed by other programs: 3, 7" in text


def test_a_regression_is_told_by_its_correlation(tmp_path: Path) -> None:
    run = made_run.make(tmp_path / "runs" / "made", bench=False)
    for path in run.glob("*/manifest.json"):
        manifest = seals.read(path)
        assert manifest is not None
        manifest["metrics"]["validation"] = {"n": 400, "pearson": 0.87654, "spearman": 0.8}
        if "predictions.safetensors" in manifest["files"]:
            sealed = path.with_name("predictions.safetensors")
            found, _ = predictions.load(sealed)
            numbers = replace(found, logits=found.logits[:, 1:])
            predictions.save(sealed, numbers, Regression().facts())
            entry = {"sha256": artifact.hash_file(sealed), "bytes": sealed.stat().st_size}
            manifest["files"][sealed.name] = entry
        seals.write(path, manifest)
    page = Reader(written(run)[0])
    assert page.row("Stages", "jpqd")["pearson [95%]"] == "0.8765"
    difference = page.row("Stages", "jpqd")["difference [95%]"]
    assert re.fullmatch(r"[+-]0\.\d{4} \[[+-]0\.\d{4}, [+-]0\.\d{4}]", difference)
    assert f"INT8, {difference.replace(' ', ' of pearson ', 1)} against teacher" in page.text


def test_nothing_sealed_is_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "made"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text('{"stages": {"teacher": {}}, "task": {"name": "t"}}')
    with pytest.raises(UserError, match="no stage is sealed"):
        written(folder)


def test_a_run_is_as_sealed_as_before(run: Path) -> None:
    written(run)
    assert finder.find(run.parent, "made").damage() == []
    with pytest.raises(UserError, match="is sealed"):
        write.write(finder.find(run.parent, "made"), run / "jpqd")
    assert [path.name for path in run.glob(f"*{files.PARTIAL}")] == []


def test_the_markdown_is_well_formed(run: Path) -> None:
    text = written(run)[1]
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 6  # stages, differences, latency, arms, layers, checks
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", block[1])
    assert "11.20x [10.98, 11.42]" in text and "needs n &gt;= 299" in text


def test_markdown_shows_what_is_given() -> None:
    assert markdown.plain("a|b\n<c> `d` [e](f)") == r"a\|b &lt;c&gt; \`d\` [e]\(f)"


def test_names_of_arms_that_are_alike_do_not_cover_each_other(run: Path) -> None:
    alike = {f"jpqd_ir:{way}": 1.0 + 0.01 * place for place, way in enumerate("abcdef")}
    made_run.benchmark(run, more=alike)
    beside_points = r'<text [^>]* y="([\d.]+)" [^>]*>(jpqd_ir[:a-f]*)<'
    found = re.findall(beside_points, written(run)[0])
    assert {name for _, name in found} >= {"jpqd_ir", *alike}
    heights = sorted({float(y) for y, name in found if name in alike})
    assert len(heights) == len(alike)
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9


def test_the_frontier_is_of_those_that_nothing_beats() -> None:
    points = [(3.0, 0.9), (1.0, 0.8), (2.0, 0.7), (4.0, 0.9), (1.0, 0.85)]
    assert charts.frontier(points) == [4, 0]
