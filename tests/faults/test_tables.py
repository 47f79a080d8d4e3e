"""The rows of docs/reliability.md about files, at a small scale."""

from tests.faults import tables


def test_no_row_of_a_table_in_any_dialect_is_lost_or_merged(tmp_path):
    found = tables.dialects(tmp_path, 100)
    assert found["rows"] > 2000
    assert found["lost or merged"] == found["set aside"] == 0


def test_no_change_of_content_goes_unseen(tmp_path):
    assert tables.changed_content(tmp_path, 60) == {"changes": 60, "stale": 0}
