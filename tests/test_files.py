"""Files are there whole or not at all."""

import pytest

from uplift.errors import DataError
from uplift.files import file_digest, require_digest, whole_file, write_text


def test_a_writer_that_dies_leaves_the_earlier_file_and_no_rest(tmp_path):
    target = tmp_path / "report.json"
    write_text("earlier", target)

    def die() -> None:
        with whole_file(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        die()
    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_the_digest_is_that_of_the_bytes_on_disk(tmp_path):
    digest = write_text("é", tmp_path / "deep" / "x.txt")
    assert digest == file_digest(tmp_path / "deep" / "x.txt")


def test_a_changed_file_is_refused(tmp_path):
    digest = write_text("one", tmp_path / "x.txt")
    require_digest(tmp_path / "x.txt", digest)
    write_text("two", tmp_path / "x.txt")
    with pytest.raises(DataError, match="has changed since") as error:
        require_digest(tmp_path / "x.txt", digest)
    assert error.value.code == "FILE_CHECKSUM"
