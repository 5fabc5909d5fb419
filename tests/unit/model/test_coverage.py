"""What files cover: an instant is in a hole if no file of a scope, or no file at all, has it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from batonics.model.coverage import (
    HOLE_SAID_NS,
    FileSpan,
    Hole,
    cover_by_scope,
    describe_holes,
    find_holes,
    holes_between,
)

LAST = 60


@st.composite
def file_spans(draw: st.DrawFn) -> FileSpan:
    """A file with metadata around its records, or without; or with metadata alone."""
    edges = sorted(draw(st.lists(st.integers(0, LAST), min_size=4, max_size=4)))
    start, first, last, end = edges
    scope = draw(st.sampled_from(["A", "B"]))
    kind = draw(st.sampled_from(["both", "records", "metadata"]))
    return FileSpan(
        f"{start}-{end}",
        scope,
        None if kind == "metadata" else first,
        None if kind == "metadata" else last,
        None if kind == "records" else start,
        None if kind == "records" else end + 1,
    )


def covered_instants(files: list[FileSpan]) -> set[int]:
    """The instants that files of one scope cover, instant by instant."""
    named = {}
    for at, file in enumerate(files):
        if file.start_ns is not None and file.end_ns is not None:
            named[at] = set(range(file.start_ns, file.end_ns))
    found = set[int]()
    for at, file in enumerate(files):
        others = set[int]().union(*(named[other] for other in named if other != at))
        if at in named and not named[at] & others:
            found |= named[at]
        elif file.first_ns is not None and file.last_ns is not None:
            found |= set(range(file.first_ns, file.last_ns + 1))
    return found


@given(st.lists(file_spans(), max_size=6))
def test_holes_are_the_instants_between_files_that_none_of_a_scope_covers(
    files: list[FileSpan],
) -> None:
    scopes = {scope: [file for file in files if file.scope == scope] for scope in ("A", "B")}
    covers = [covered_instants(found) for found in scopes.values()]
    expected = set[int]()
    for cover in (*covers, covers[0] | covers[1]):
        if cover:
            expected |= set(range(min(cover), max(cover))) - cover
    holes = find_holes(files)
    assert set().union(*(range(hole.start_ns, hole.end_ns) for hole in holes)) == expected
    assert [hole.start_ns for hole in holes] == sorted(hole.start_ns for hole in holes)
    for spans in cover_by_scope(files).values():
        assert all(one.until_ns + 1 < other.from_ns for one, other in pairwise(spans))


def test_files_whose_metadata_meet_have_no_hole_whenever_their_records_are() -> None:
    monday = FileSpan("mon", "CL", 10, 20, 0, 100)
    tuesday = FileSpan("tue", "CL", 150, 160, 100, 200)
    assert find_holes([tuesday, monday]) == ()
    wednesday = FileSpan("wed", "CL", 250, 260, 200, 300)
    assert find_holes([monday, wednesday]) == (Hole(100, 200, "mon", "wed", True),)


def test_metadata_of_a_whole_request_do_not_cover_what_is_missing_of_it() -> None:
    monday, wednesday = (
        FileSpan(name, "CL", at, at + 10, 0, 300) for name, at in (("m", 0), ("w", 200))
    )
    assert find_holes([monday, wednesday]) == (Hole(11, 200, "m", "w", False),)


def test_a_file_without_records_covers_what_its_metadata_say() -> None:
    files = [FileSpan(str(day), "CL", day * 9, day * 9, day * 9, day * 9 + 9) for day in (0, 2)]
    assert find_holes(files)
    assert find_holes([*files, FileSpan("1", "CL", None, None, 9, 18)]) == ()


def test_a_line_names_holes_that_metadata_show_and_long_ones() -> None:
    known, short = Hole(10**9, 2 * 10**9, "a", "b", True), Hole(0, 5, "c", "d")
    assert describe_holes([short]) == ""
    assert describe_holes([short._replace(end_ns=HOLE_SAID_NS)]) != ""
    assert "between a and b" in describe_holes([known, short])
    assert "(1 more)" in describe_holes([known, known])


def test_holes_between_times_that_are_not_known_are_none() -> None:
    holes = (Hole(10, 20),)
    assert holes_between(holes, None, 30) == ()
    assert holes_between(holes, 19, 19) == holes
    assert holes_between(holes, 20, 30) == holes_between(holes, 0, 9) == ()
