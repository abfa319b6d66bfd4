"""Files from strangers, by the thousand: a clear error or a right answer, soon, within the forecast's memory.

Everything is read in a process of its own, so that a hang or a crash of a decoder is a finding and not the end.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.security import mutations, written
from tests.support.processes import listen

FREE_BYTES = 400 * 1024**2
"""A reading may work for 5 s; how long that takes beside a busy neighbour is not its fault."""
LONGEST_WORK_SECONDS = 5.0
SAMPLE = 120
WHOLE = 4000
LEAST_MUTATIONS = 500


Results = list[dict[str, Any]]


def read_all(folder: Path, **told: Any) -> Results:
    """What came of every file, with the rules that hold for each of them asserted."""
    told = {"folder": str(folder), "free_bytes": FREE_BYTES, **told}
    found = list(listen([sys.executable, "-m", "tests.security.read_all", json.dumps(told)]))
    baseline = next(each["baseline"] for each in found if "baseline" in each)
    results = [each for each in found if "done" in each]
    escaped = [(each["done"], each["escaped"], each["silent"]) for each in results]
    assert [each for each in escaped if each[1] or each[2]] == [], "only errors for users leave the media room"
    slow = [(each["done"], each["slowest_in"], each["slowest"]) for each in results]
    assert [each for each in slow if each[2] > LONGEST_WORK_SECONDS] == []
    assert [(each["done"], each["peak"]) for each in results if each["peak"] > baseline + FREE_BYTES] == []
    return results


def _counted(results: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(outcome for each in results for outcome in each["outcomes"].values())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A sample of the broken clips, every absurd one, two large ones and one of each encoder, read by one process."""
    folder = tmp_path_factory.mktemp("strangers")
    files = [
        mutations.large_picture(folder / "large.mp4", 4_000, 4_000),
        mutations.large_picture(folder / "wide.mp4", 8_160, 64),
    ]
    assert max(file.stat().st_size for file in files) < 500_000
    told = {"numbers": list(range(SAMPLE)), "absurd": True, "written": "each", "files": [str(file) for file in files]}
    return read_all(folder / "work", **told)


def test_broken_clips_give_frames_or_a_clear_error(results: Results) -> None:
    broken = [each for each in results if each["done"].startswith("mutation")]
    assert len(broken) == SAMPLE
    # A sample that were all refused, or all fine, would have tested little.
    assert min(_counted(broken)[outcome] for outcome in ("ok", "refused")) > SAMPLE


def test_absurd_headers_give_frames_or_a_clear_error(results: Results, tmp_path: Path) -> None:
    claims = mutations.absurd(mutations.base_clips(tmp_path))
    assert len(claims) >= 18
    assert set(claims) <= {each["done"] for each in results}


def test_a_small_file_of_a_large_picture_takes_no_more_memory_than_there_is(results: Results) -> None:
    found = {each["done"]: each["outcomes"] for each in results}
    for reading in ("frames", "part", "last", "last of part", "trim", "sheet"):
        assert found["large.mp4"][reading] == "refused", reading
    assert found["wide.mp4"]["frames"] == found["wide.mp4"]["last"] == "ok"


def test_pictures_as_packets_covers_and_side_data_without_a_type_are_read(results: Results) -> None:
    found = {each["done"]: each["outcomes"] for each in results}
    for name in ("png.mp4", "png.avi", "camera.mov", "camera.mkv", "covered.mp4", "enhanced.mp4"):
        assert {found[f"whole {name}"][reading] for reading in ("probe", "frames", "last", "trim")} == {"ok"}, name


def test_every_encoder_and_container_of_this_pyav_is_read(results: Results) -> None:
    made = [Path(each["done"]) for each in results if Path(each["done"]).stem in written.encoders()]
    assert {path.suffix for path in made} >= {".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".asf", ".gif"}
    assert len(made) == len({path.stem for path in made}) > 30
    outcomes = {each["done"]: each["outcomes"]["frames"] for each in results}
    assert [path.name for path in made if outcomes[path.name] == "ok"][30:]


@pytest.mark.soak
def test_every_encoder_in_every_container_is_read(tmp_path: Path) -> None:
    results = read_all(tmp_path, written="whole")
    print(f"{len(results)} kinds of clips, {dict(_counted(results))}")  # noqa: T201


@pytest.mark.soak
def test_thousands_of_broken_clips_give_frames_or_a_clear_error(tmp_path: Path) -> None:
    assert WHOLE >= LEAST_MUTATIONS
    results = read_all(tmp_path, numbers=list(range(WHOLE)))
    assert len([each for each in results if each["done"].startswith("mutation")]) == WHOLE
    print(f"{WHOLE} broken clips, {dict(_counted(results))}")  # noqa: T201


def test_a_mutation_is_the_same_every_time(tmp_path: Path) -> None:
    whole = mutations.base_clips(tmp_path)
    first, second = ([mutations.mutated(whole, number) for number in range(20)] for _ in range(2))
    assert first == second
    assert sum(content != whole[name] for name, content in first) >= 18
