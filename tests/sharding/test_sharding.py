"""`embed_shard`: the same bytes however the work is cut, interrupted and taken up again."""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.errors import DatasetError, FacewiseError, GalleryError, SettingError
from facewise.files import atomic_write
from facewise.gallery import Gallery
from facewise.image import content_hash
from facewise.models import Calibration, Threshold
from facewise.photos import find_photos
from facewise.pipeline import Pipeline
from facewise.sharding import Changes, check_run, embed_shard, into_gallery, launched_as, merge, read_plan
from facewise.sharding.plan import listed
from facewise.sharding.ranks import threads_here
from planted_quality import all_of_quality


@pytest.fixture(scope="module")
def photos(tmp_path_factory, drawn_photo) -> Path:
    """Eleven photos of three people in folders of their names; one has two faces, one none, one is broken."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(9):
        folder = root / ("ada", "bob", "cyd")[i // 3]
        folder.mkdir(exist_ok=True)
        faces = [(70 + 5 * (i % 3), 90, 80, i // 3)] + ([(220, 120, 60, 7)] if i == 4 else [])
        PIL.Image.fromarray(drawn_photo(faces, size=(200, 300))).save(folder / f"{i}.png")
    PIL.Image.fromarray(drawn_photo((), size=(100, 100))).save(root / "bob" / "none.png")
    (root / "cyd" / "broken.jpg").write_bytes(b"no photo")
    return root


@pytest.fixture
def own_photos(tmp_path, photos) -> Path:
    """The same, to be changed."""
    return shutil.copytree(photos, tmp_path / "photos")


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every file that is not a lock."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if not path.name.endswith(".lock")
    }


def test_the_files_are_the_same_whatever_the_shards(tmp_path, photos, tiny_pipeline):
    results = {}
    for shards in (1, 2, 5):
        folder = tmp_path / f"by{shards}"
        done = [
            embed_shard(folder, [photos], shard=i, shards=shards, pipeline=tiny_pipeline, part_size=2)
            for i in range(shards)
        ]
        assert [result.manifest is not None for result in done] == [False] * (shards - 1) + [True]
        assert sorted(part.part for result in done for part in result.done) == list(range(6))
        results[shards] = contents(folder)
    assert results[1] == results[2] == results[5]
    assert set(results[1]) == {"plan.json", "photos.jsonl", "manifest.json"} | {
        f"part-{i:06d}.{ending}" for i in range(6) for ending in ("npz", "json")
    }


def test_rows_are_what_the_pipeline_reads(tmp_path, photos, tiny_pipeline):
    result = embed_shard(tmp_path / "out", [photos], pipeline=tiny_pipeline, part_size=4)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["photos"], manifest["faces"], manifest["without_face"]) == (10, 10, 1)
    assert [Path(item["photo"]).name for item in manifest["bad"]] == ["broken.jpg"]
    assert manifest["settings"]["fingerprint"] == tiny_pipeline.embedder.fingerprint
    for part in manifest["parts"]:
        data = (tmp_path / "out" / part["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
        facts = (tmp_path / "out" / part["file"]).with_suffix(".json").read_bytes()
        assert hashlib.sha256(facts).hexdigest() == part["facts_sha256"]
    assert result.manifest.faces == 10
    assert merge(read_plan(tmp_path / "out"), tmp_path / "all.npz") == 10
    expected = [
        (str(path), i, face)
        for path in sorted(photos.rglob("*.png"))
        for i, face in enumerate(tiny_pipeline.read(path).faces)
    ]
    with np.load(tmp_path / "all.npz", allow_pickle=False) as rows:
        assert rows["photo"].tolist() == [path for path, _, _ in expected]
        assert rows["face"].tolist() == [i for _, i, _ in expected]
        for name in ("embedding", "box", "landmarks", "score"):
            assert np.allclose(rows[name], [getattr(face, name) for *_, face in expected], atol=1e-5), name
        assert np.allclose(rows["quality"][:, 0], [face.quality.size for *_, face in expected], rtol=1e-5)
        assert rows["reasons"].tolist() == ["\n".join(face.quality.reasons) for *_, face in expected]
        assert rows["model"].item() == tiny_pipeline.embedder.name
    for path in chain([tmp_path / "all.npz"], (tmp_path / "out").glob("p*")):
        assert path.stat().st_mode & 0o077 == 0, path


class CutError(Exception):
    """The process is gone."""


def test_a_run_that_was_stopped_anywhere_goes_on_and_loses_one_part_at_most(
    tmp_path, photos, tiny_pipeline, monkeypatch
):
    """Every rename, which is where something becomes visible, is in turn the last thing a process does."""
    whole = tmp_path / "whole"
    embed_shard(whole, [photos], pipeline=tiny_pipeline, part_size=3)
    rename, left = Path.replace, [0]

    def replace(self, target):
        if left[0] == 0:
            raise CutError
        left[0] -= 1
        return rename(self, target)

    for renames in range(11):  # photos, plan, 4 × (rows, facts), manifest
        folder = tmp_path / f"cut{renames}"
        left[0] = renames
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with pytest.raises(CutError):
                embed_shard(folder, [photos], pipeline=tiny_pipeline, part_size=3)
        finished = len(list(folder.glob("part-*.json")))
        result = embed_shard(folder, [photos], pipeline=tiny_pipeline, part_size=3)
        assert (len(result.before), len(result.done)) == (finished, 4 - finished)
        assert finished == max(0, (renames - 2) // 2)
        assert contents(folder) == contents(whole)


def test_a_damaged_part_is_seen_and_made_again(tmp_path, photos, tiny_pipeline):
    folder = tmp_path / "out"
    embed_shard(folder, [photos], pipeline=tiny_pipeline, part_size=3)
    before = contents(folder)
    data = bytearray((folder / "part-000001.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "part-000001.npz").write_bytes(data)
    (folder / "part-000002.json").write_text("{")
    (folder / "part-000003.json").unlink()
    checked = check_run(read_plan(folder))
    assert (checked.parts, checked.damaged, checked.missing, checked.manifest) == (1, (1, 2), (3,), None)
    with pytest.raises(DatasetError, match=r"Part 1 .* missing or damaged"):
        merge(read_plan(folder), tmp_path / "all.npz")
    assert not (tmp_path / "all.npz").exists()
    result = embed_shard(folder, pipeline=tiny_pipeline)  # the plan knows the photos
    assert [part.part for part in result.done] == [1, 2, 3]
    assert contents(folder) == before


def test_what_a_killed_process_left_is_removed(tmp_path, photos, tiny_pipeline):
    folder = tmp_path / "out"
    embed_shard(folder, [photos], pipeline=tiny_pipeline, part_size=3)
    (folder / "part-000002.json").unlink()
    killed = atomic_write(folder / "part-000002.npz", private=True)  # never left, as by a process that was
    leftover = killed.__enter__()
    leftover.write_bytes(b"half a template")
    embed_shard(folder, pipeline=tiny_pipeline)
    assert not leftover.exists()


def test_nothing_is_mixed(tmp_path, photos, tiny_pipeline, tiny_detector_file, other_embedder_file):
    folder = tmp_path / "out"
    embed_shard(folder, [photos / "ada"], pipeline=tiny_pipeline, shards=2, part_size=2)
    other = Pipeline.load(tiny_detector_file, other_embedder_file)
    flipped = Pipeline.load(tiny_detector_file, tiny_pipeline.embedder.model.path, flip=True)
    for arguments, said in (
        ({"pipeline": other}, "begun with model tiny"),
        ({"pipeline": flipped}, "begun with flip False, not True"),
        ({"main_only": True}, "main only False, not True"),
        ({"photos": [photos]}, "begun with other photos"),
        ({"part_size": 3}, "begun with 2 photos a part, not 3"),
        ({"shard": 2}, "Of 2 shards there is no shard 2"),
    ):
        given = {"photos": [photos / "ada"], "pipeline": tiny_pipeline, "shards": 2, **arguments}
        with pytest.raises(SettingError, match=said):
            embed_shard(folder, given.pop("photos"), **given)
    with pytest.raises(SettingError, match="1 to 100000"):
        embed_shard(tmp_path / "new", [photos], pipeline=tiny_pipeline, part_size=0)


def test_a_part_of_another_plan_does_not_count(tmp_path, photos, tiny_pipeline):
    for name in ("ada", "bob"):
        embed_shard(tmp_path / name, [photos / name], pipeline=tiny_pipeline)
    for ending in ("npz", "json"):
        source = (tmp_path / "ada" / f"part-000000.{ending}").read_bytes()
        (tmp_path / "bob" / f"part-000000.{ending}").write_bytes(source)
    assert check_run(read_plan(tmp_path / "bob")).damaged == (0,)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 9}'])
def test_a_damaged_plan_is_told(tmp_path, photos, tiny_pipeline, content):
    embed_shard(tmp_path, [photos / "ada"], pipeline=tiny_pipeline)
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(DatasetError, match=r"plan .*plan\.json"):
        embed_shard(tmp_path, [photos / "ada"], pipeline=tiny_pipeline)


def test_a_changed_plan_is_told(tmp_path, photos, tiny_pipeline):
    embed_shard(tmp_path, [photos / "ada"], pipeline=tiny_pipeline)
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["settings"]["flip"] = not plan["settings"]["flip"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(DatasetError, match="damaged"):
        read_plan(tmp_path)


def test_a_list_of_photos(tmp_path, photos, tiny_pipeline):
    names = [str(photos / "bob" / "3.png"), str(photos / "gone.png"), str(photos / "ada" / "0.png")]
    listing = tmp_path / "list.txt"
    listing.write_text("\r\n".join([names[0], "", *names[1:]]))
    result = embed_shard(tmp_path / "out", listing=listing, pipeline=tiny_pipeline)
    [part] = result.done
    with np.load(tmp_path / "out" / part.file) as rows:
        assert rows["photo"].tolist() == [names[0], names[2]]
    assert [item["photo"] for item in part.bad] == [names[1]]
    embed_shard(tmp_path / "out", listing=listing, pipeline=tiny_pipeline)  # the same list
    listing.write_bytes("\n".join(names).encode("utf-16"))
    assert list(map(str, listed(listing))) == names
    listing.write_text(names[0])
    with pytest.raises(SettingError, match=r"2 of the 3 photos .* are gone: name another folder"):
        embed_shard(tmp_path / "out", listing=listing, pipeline=tiny_pipeline)
    with pytest.raises(DatasetError, match="Cannot read the list"):
        embed_shard(tmp_path / "new", listing=tmp_path / "none.txt", pipeline=tiny_pipeline)


def rows_of(result, folder):
    """Photo → its hash, of all rows."""
    found = {}
    for part in range(result.manifest.parts):
        with np.load(folder / f"part-{part:06d}.npz") as rows:
            found |= dict(zip(map(Path, rows["photo"].tolist()), rows["photo_sha256"].tolist(), strict=True))
    return found


def test_photos_that_changed_are_done_again(tmp_path, own_photos, tiny_pipeline):
    """Two parts are left as they are, two are made again, and what is new comes at the end."""
    out, done = tmp_path / "out", find_photos(own_photos)
    first = embed_shard(out, [own_photos], pipeline=tiny_pipeline, part_size=3)
    assert not first.changes
    kept = {path: path.read_bytes() for path in sorted(out.glob("part-*.npz"))}
    new, other, gone = own_photos / "ada" / "new.png", done[1], done[4]
    shutil.copy(other, new)
    shutil.copy(done[7], other)
    gone.unlink()
    again = embed_shard(out, [own_photos], pipeline=tiny_pipeline)
    assert again.changes == Changes(added=1, replaced=1, gone=1)
    assert [facts.part for facts in again.done] == [0, 1, len(kept)]
    found = rows_of(again, out)
    assert {new, other} <= found.keys()
    assert gone not in found
    assert found[other] == content_hash(other.read_bytes())
    assert found.keys() <= set(find_photos(own_photos))
    for path, content in list(kept.items())[2:]:
        assert path.read_bytes() == content
    same = embed_shard(out, [own_photos], pipeline=tiny_pipeline)
    assert not same.changes
    assert same.done == ()
    assert (same.manifest.faces, same.manifest.photos) == (again.manifest.faces, again.manifest.photos)


@pytest.mark.parametrize("change", ["replaced", "gone"])
def test_one_change_alone(tmp_path, own_photos, tiny_pipeline, change):
    out, photo = tmp_path / "out", find_photos(own_photos)[0]
    embed_shard(out, [own_photos], pipeline=tiny_pipeline, part_size=3)
    if change == "gone":
        photo.unlink()
    else:
        shutil.copy(find_photos(own_photos)[5], photo)
    # Nobody names the photos: it is looked at those of then.
    again = embed_shard(out, pipeline=tiny_pipeline)
    assert again.changes == Changes(**{change: 1})
    assert [facts.part for facts in again.done] == [0]
    assert len(again.manifest.bad) == len(embed_shard(out, pipeline=tiny_pipeline).manifest.bad)


def test_all_of_a_part_may_go(tmp_path, own_photos, tiny_pipeline):
    out, done = tmp_path / "out", find_photos(own_photos)
    embed_shard(out, [own_photos], pipeline=tiny_pipeline, part_size=2)
    for photo in done[2:4]:
        photo.unlink()
    again = embed_shard(out, [own_photos], pipeline=tiny_pipeline)
    assert again.changes == Changes(gone=2)
    assert not set(done[2:4]) & rows_of(again, out).keys()
    merge(read_plan(out), tmp_path / "all.npz")


def test_other_photos_altogether_are_refused(tmp_path, own_photos, tiny_pipeline):
    embed_shard(tmp_path / "out", [own_photos], pipeline=tiny_pipeline)
    before = (tmp_path / "out" / "plan.json").read_bytes()
    for photo in find_photos(own_photos)[1:]:
        photo.unlink()
    with pytest.raises(SettingError, match="are gone: name another folder"):
        embed_shard(tmp_path / "out", [own_photos], pipeline=tiny_pipeline)
    assert (tmp_path / "out" / "plan.json").read_bytes() == before


def test_what_is_gone_is_enrolled_no_more(tmp_path, own_photos, tiny_pipeline):
    embed_shard(tmp_path / "out", [own_photos], pipeline=tiny_pipeline)
    gone = own_photos / "ada" / "1.png"
    gone.unlink()
    plan = read_plan(tmp_path / "out")
    with Gallery.open(tmp_path / "g.db") as gallery:
        done = list(into_gallery(plan, gallery))
        assert {sample.source for sample in gallery.show("ada").samples} == {
            str(own_photos / "ada" / f"{i}.png") for i in (0, 2)
        }
    told = {rejection.source: rejection.reason for one in done for rejection in one.rejected}
    assert told[str(gone)] == "it is gone since it was embedded"
    own_photos.rename(tmp_path / "elsewhere")  # as on a machine that has the run only
    with Gallery.open(tmp_path / "h.db") as gallery:
        list(into_gallery(plan, gallery))
        assert len(gallery.show("ada").samples) == 3


def test_a_run_of_the_first_format_goes_on(tmp_path, own_photos, tiny_pipeline):
    """As an earlier Facewise wrote it: no parts in the plan but where they begin, and one id for all."""
    out = tmp_path / "out"
    whole = embed_shard(out, [own_photos], pipeline=tiny_pipeline, part_size=3)
    data = json.loads((out / "plan.json").read_text())
    offsets = [offset for offset, *_ in data.pop("parts")]
    facts = [
        data["settings"],
        data["sources"],
        data["photos"],
        data["part_size"],
        offsets,
        data["list_sha256"],
    ]
    data |= {"format": 1, "offsets": offsets}
    data["id"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    (out / "plan.json").write_text(json.dumps(data))
    for path in out.glob("part-*.json"):
        part = json.loads(path.read_text()) | {"plan": data["id"]}
        del part["seen"]
        path.write_text(json.dumps(part))
    again = embed_shard(out, [own_photos], pipeline=tiny_pipeline)
    assert again.done == ()
    assert again.manifest.faces == whole.manifest.faces


def test_no_photos_and_no_plan(tmp_path, tiny_pipeline):
    with pytest.raises(DatasetError, match="name the photos"):
        embed_shard(tmp_path / "out", pipeline=tiny_pipeline)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="No photos"):
        embed_shard(tmp_path / "out", [tmp_path / "empty"], pipeline=tiny_pipeline)
    assert not (tmp_path / "out" / "plan.json").exists()


def test_two_processes_are_not_at_one_shard(tmp_path, photos, tiny_pipeline):
    def again(_):
        with pytest.raises(FacewiseError, match="Another process is at shard 0 of 1"):
            embed_shard(tmp_path, [photos], pipeline=tiny_pipeline)

    embed_shard(tmp_path, [photos], pipeline=tiny_pipeline, on_part=again)


def test_a_photo_whose_name_is_no_text(tmp_path, photos, tiny_pipeline):
    folder = tmp_path / "in"
    folder.mkdir()
    odd = Path(str(folder / "a\nb") + "\udcff.png")
    try:
        odd.write_bytes((photos / "ada" / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    result = embed_shard(tmp_path / "out", [folder], pipeline=tiny_pipeline)
    assert (result.manifest.photos, result.manifest.faces) == (1, 1)


def test_the_result_becomes_a_gallery(
    tmp_path, photos, tiny_pipeline, other_embedder_file, tiny_detector_file
):
    embed_shard(tmp_path / "out", [photos], pipeline=tiny_pipeline, part_size=4)
    plan = read_plan(tmp_path / "out")
    with Gallery.open(tmp_path / "people.db", pipeline=tiny_pipeline) as gallery:
        done = list(into_gallery(plan, gallery))
        assert {person.name: person.samples for person in gallery.people()} == {"ada": 3, "bob": 3, "cyd": 3}
        rejected = [Path(rejection.source).name for one in done for rejection in one.rejected]
        assert sorted(rejected) == ["broken.jpg", "none.png"]
        [match] = gallery.identify(photos / "cyd" / "7.png", threshold=0.9)
        assert match.name == "cyd"
        again = list(into_gallery(plan, gallery))
        assert sum(one.added for one in again) == 0
        assert sum(len(one.duplicates) for one in again) == 9
    with Gallery.open(tmp_path / "direct.db", pipeline=tiny_pipeline) as direct:
        list(direct.enroll_folder(photos))
        assert {person.name: person.samples for person in direct.people()} == {"ada": 3, "bob": 3, "cyd": 3}
    other = Pipeline.load(tiny_detector_file, other_embedder_file)
    with Gallery.open(tmp_path / "other.db", pipeline=other) as gallery:
        gallery.enroll("ada", [photos / "ada" / "0.png"])
        with pytest.raises(GalleryError, match="name another gallery"):
            list(into_gallery(plan, gallery))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"RANK": "3"}, None),
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
        ({"RANK": "8", "WORLD_SIZE": "8"}, "no shard 8"),
        ({"RANK": "-1", "WORLD_SIZE": "8"}, "no shard -1"),
        ({"RANK": "a", "WORLD_SIZE": "8"}, "whole numbers"),
    ],
)
def test_what_the_launcher_says(environment, expected):
    if isinstance(expected, str):
        with pytest.raises(SettingError, match=expected):
            launched_as(environment)
    else:
        assert launched_as(environment) == expected


def test_processes_on_one_machine_share_its_threads():
    alone = threads_here({})
    assert threads_here({"LOCAL_WORLD_SIZE": "1000"}) == 1
    assert threads_here({"LOCAL_WORLD_SIZE": "2"}) == max(1, alone // 2)
    assert threads_here({"LOCAL_WORLD_SIZE": "x"}) == alone


def test_what_was_measured_is_asked_for_and_older_parts_have_no_reasons(
    tmp_path, photos, tiny_pipeline, monkeypatch
):
    """Crops tell that all are blurred, which is kept; embeddings do not."""
    monkeypatch.setattr("facewise.quality._LEAST_DETAIL", np.inf)
    embed_shard(tmp_path / "out", [photos], pipeline=tiny_pipeline, part_size=4)
    plan = read_plan(tmp_path / "out")
    calibration = Calibration(
        "drawings", "by hand", "0" * 64, 100, 1000, False, "tiny", "0" * 64,
        (Threshold(1e-3, 0.8, 1e-3, 0.0, (0.0, 0.1)),), quality=all_of_quality(32, 0.8, 1.0),
    )  # fmt: skip

    def added(name):
        with Gallery.open(tmp_path / name, pipeline=tiny_pipeline) as gallery:
            done = list(into_gallery(plan, gallery, calibration=calibration))
        return sum(one.added for one in done), {r.reason for one in done for r in one.rejected}

    count, reasons = added("all.db")
    assert count == 0
    assert "its face is blurred: take a sharper one" in reasons
    first = tmp_path / "out" / "part-000000.npz"
    with np.load(first) as rows:
        columns = {name: rows[name] for name in rows.files if name != "reasons"}
    np.savez(first, **columns)
    facts = json.loads(first.with_suffix(".json").read_bytes())
    facts |= {"bytes": first.stat().st_size, "sha256": hashlib.sha256(first.read_bytes()).hexdigest()}
    first.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    assert added("older.db")[0] > 0
    assert merge(plan, tmp_path / "all.npz") == 10
