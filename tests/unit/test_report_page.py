"""`jpqd report`: what stands on the page is what is sealed, safe to open, the same each time."""

import itertools
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jpqd.core import artifact, files, seals
from jpqd.core.bench_result import Soak
from jpqd.core.errors import UserError
from jpqd.report.page import markdown, tradeoff, write
from jpqd.run import finder
from jpqd.scores import predictions
from jpqd.tasks.regression import Regression
from tests.helpers import made_bench, made_run, tiny
from tests.helpers.pages import DEPLOYED, LATENCY, Reader, styles_load, written


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run.make(tmp_path / "runs" / "made")


def test_the_stage_table_holds_the_manifests_numbers(run: Path) -> None:
    row = Reader(written(run)[0]).row("Stages", "jpqd")
    assert row["accuracy, % [95%]"] == "91.00 [85.00, 95.00]"
    assert (row["n"], row["measured on"]) == ("400", "validation")
    assert row["answers of"] == "PyTorch, INT8 simulated"
    assert row["points [95%]"].startswith("+1.00 [")
    assert (row["file, MB"], row["parameters"]) == ("4.00", "297,100")
    assert (row["encoder kept"], row["weights"]) == ("29.7%", "INT8")


def test_one_row_tells_all_of_the_thing_that_would_be_deployed(run: Path) -> None:
    made_run.whole(run)
    made_run.benchmark(run, more={"teacher_ir": 5.6, "ptq_ir": 2.0})
    page = Reader(written(run)[0])
    row = page.row(DEPLOYED, "jpqd_ir")
    assert row["accuracy, % [95%], n"] == "91.00, n 872"  # of the arm, as it ran
    assert row["points [95%]"].startswith("+1.00 [")
    assert (row["precision"], row["size, MB"]) == ("int8", "5.00")
    assert row["p50, ms [95%]"] == "1.00 [0.980, 1.02]"
    assert row["speed ratio [95%]"] == "11.20x [10.98, 11.42]"
    assert row["ratio to ptq_ir [95%]"] == "2.00x [1.96, 2.04]"
    assert page.row(DEPLOYED, "ptq_ir")["ratio to ptq_ir [95%]"] == "reference"
    assert len(row) == 8
    names = [line[0] for line in page.tables[DEPLOYED][1:]]
    assert names == ["teacher", "teacher_ir", "ptq_ir", "jpqd_ir"]  # PyTorch only where it is first


def test_an_accuracy_of_another_precision_is_not_taken_for_the_arms_own(run: Path) -> None:
    """A benchmark of 0.1 named the figure of the f32 check beside a speed in bf16."""
    bench = made_run.benchmark(run)
    bench.arms[1].matmuls, bench.arms[1].precision = {"bf16": 12}, "bf16"
    made_run.seal_benchmark(run, bench)
    page = Reader(written(run)[0])
    row = page.row(DEPLOYED, "jpqd_ir")
    assert (row["precision"], row["accuracy, % [95%], n"][-5:]) == ("bf16", "n 400")
    assert "Accuracy of jpqd_ir: of its check in f32, and not as it runs" in page.text


def test_percentiles_that_are_missing_say_their_n(run: Path) -> None:
    page = Reader(written(run)[0])
    assert page.row(LATENCY, "jpqd_ir")["p99, ms [95%]"] == "needs n >= 299"
    assert page.row(LATENCY, "jpqd_ir")["n"] == "240"
    assert page.row(LATENCY, "teacher")["speed ratio [95%]"] == "baseline"
    costs = page.row("Accuracy, size, memory and start", "jpqd_ir")
    assert (costs["memory, MB"], costs["added by loading, MB"], costs["peak, MB"]) == (
        "90",
        "50",
        "100",
    )


def test_the_growth_of_memory_is_on_the_page_where_it_was_measured(run: Path) -> None:
    assert "Growth: over" not in Reader(written(run)[0]).text
    bench = made_run.benchmark(run)
    bench.asked.soak = 10_000
    bench.arms[1].soak = Soak(requests=10_000, seconds=9.0, growth_mb=12.34, late_growth_mb=6.0)
    made_run.seal_benchmark(run, bench)
    page = Reader(written(run)[0])
    row = page.row("Accuracy, size, memory and start", "jpqd_ir")
    assert (row["growth, MB"], row["late growth, MB"]) == ("+12.3", "+6.0")
    assert "Growth: over 10,000 more requests" in page.text


def test_the_headline_is_the_main_result_in_words(run: Path) -> None:
    text = Reader(written(run)[0]).text
    assert "jpqd_ir is 11.20 times (95%: 10.98 to 11.42) as fast as teacher in PyTorch f32." in text
    assert (
        "jpqd_ir has accuracy 91.00%, which cannot be told from that of teacher: the difference is "
        "+1.00 points (95%: -0.20 to +2.19, n 400)." in text
    )
    assert "this run has no measured INT8 IR of the whole teacher" in text


def test_the_headline_tells_what_is_owed_to_the_runtime(run: Path) -> None:
    made_run.whole(run)
    made_run.benchmark(run, more={"teacher_ir": 5.6, "ptq_ir": 2.0})
    text = Reader(written(run)[0]).text
    assert "OpenVINO int8 alone gives 2.00x [1.96, 2.04] (teacher_ir)" in text
    assert "OpenVINO INT8 of the whole model alone gives 5.60x [5.49, 5.71] (ptq_ir)" in text
    assert "and compression multiplies that by 2.00x [1.96, 2.04]." in text
    made_run.benchmark(run, more={"ptq_ir": 1.01})
    assert "adds no speed that can be told from chance: 1.01x" in Reader(written(run)[0]).text


@pytest.mark.parametrize(("wrong", "said"), [(20, "5.00 points above"), (60, "5.00 points below")])
def test_a_difference_beyond_chance_is_called_so(run: Path, wrong: int, said: str) -> None:
    shutil.rmtree(run / "jpqd_ir")
    made_run.exported(run, "jpqd_ir", "jpqd", wrong=wrong)
    text = Reader(written(run)[0]).text
    assert re.search(rf"jpqd_ir has accuracy \S+, {said} teacher \(95%: [+-]", text)


def test_an_ir_stands_for_itself_as_anyone_runs_it(run: Path) -> None:
    """Static copies are a limit to compare with, which no consumer has."""
    made_run.benchmark(run, more={"jpqd_ir:static": 0.5})
    page = Reader(written(run)[0])
    assert page.row(DEPLOYED, "jpqd_ir")["speed ratio [95%]"].startswith("11.20")
    assert "jpqd_ir is 11.20 times (95%: " in page.text


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


def test_the_newest_benchmark_counts(run: Path) -> None:
    made_run.benchmark(run, "bench_manual")
    path = run / "bench" / "manifest.json"
    old = {**json.loads(path.read_text()), "created": "2020-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(old))
    (run / "bench" / "bench.json").write_text("torn")  # is not asked
    assert "11.20x" in written(run)[0]


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
    assert re.search(r"jpqd_ir has pearson 0.8765, 0\.\d{4} of pearson above teacher", page.text)


def test_a_run_is_as_sealed_as_before(run: Path) -> None:
    written(run)
    assert finder.find(run.parent, "made").damage() == []
    with pytest.raises(UserError, match="is sealed"):
        write.write(finder.find(run.parent, "made"), run / "jpqd")
    assert [path.name for path in run.glob(f"*{files.PARTIAL}")] == []


def test_the_markdown_is_well_formed(run: Path) -> None:
    text = written(run)[1]
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 9  # deployed, classes, stages, differences, speed, layers, checks
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", block[1])
    assert "11.20x [10.98, 11.42]" in text and "needs n &gt;= 299" in text


def test_markdown_shows_what_is_given() -> None:
    assert markdown.plain("a|b\n<c> `d` [e](f)") == r"a\|b &lt;c&gt; \`d\` [e]\(f)"


def test_names_of_eleven_arms_do_not_cover_each_other_and_their_colours_differ(run: Path) -> None:
    alike = {f"jpqd_ir:{way}": 1.0 + 0.01 * place for place, way in enumerate("abcdefghi")}
    made_run.benchmark(run, more=alike)
    page = written(run)[0]
    names = re.findall(r'<text [^>]* y="([\d.]+)" [^>]*>(\d+  (?:jpqd_ir|teacher)\S*)<', page)
    assert len({name for _, name in names}) == 11
    heights = sorted(float(y) for y, _ in names)
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9
    chart = page[page.index('id="tradeoff-t"') : page.index('id="latencies-t"')]
    assert len(set(re.findall(r"var\(--series-\d+\)", chart))) == 11
    styles = re.findall(r"--series-\d+: (#\w+);", page)
    assert len(styles) == 36 and len(set(styles[:12])) == len(set(styles[12:24])) == 12


def test_a_point_is_beaten_only_where_intervals_say_so() -> None:
    def point(name: str, p50: float, accuracy: float, spread: float = 0.01) -> tradeoff.Point:
        arm = made_bench.bench({name: p50}).arms[0]
        interval = (accuracy - 0.01, accuracy + 0.01)
        return tradeoff.Point(arm, 0, made_bench.estimate(p50, spread), accuracy, interval)

    fast, like, slow = point("fast", 1.0, 0.9), point("like", 1.01, 0.9), point("slow", 2.0, 0.9)
    best, unsure = point("best", 3.0, 0.95), point("unsure", 1.5, 0.895, spread=0.6)
    worse = point("worse", 1.005, 0.87)
    found = tradeoff.frontier([fast, like, slow, best, unsure, worse])
    assert [one.arm.name for one in found] == ["fast", "like", "best", "unsure"]


def test_each_class_has_its_figures_and_what_it_was_taken_for(run: Path) -> None:
    """The first 36 of 400 rows are wrong: 18 of each class."""
    page = Reader(written(run)[0])
    row = page.row("Each class: jpqd_ir", "0")
    assert (row["n"], row["recall, %"], row["F1, %"]) == ("200", "91.00", "91.00")
    assert row["F1 of teacher, %"] == "90.00"
    assert page.tables["What was taken for what: jpqd_ir"] == [
        ["true class", "0", "1"], ["0", "182", "18"], ["1", "18", "182"]
    ]  # fmt: skip


def test_long_tables_are_folded_and_the_page_has_contents(run: Path) -> None:
    page = Reader(written(run)[0])
    assert page.tags.count("details") >= 5
    places = [place[1:] for place in page.loads if place.startswith("#")]
    assert {"deployed", "accuracy", "speed", "layers", "training"} <= {*places} <= {*page.ids}
