"""What a person is shown of a file that is refused."""

from claim_files import HEADER, line

from facnet_grpc.errors import Reason
from facnet_grpc.ingest.inspect import inspect_file


def test_a_good_file(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_bytes(f"{HEADER}\r\n{line()}\r\n".encode("cp1252"))
    seen = inspect_file(path)
    assert seen.error is None
    assert seen.format.delimiter == ";"
    assert seen.size_bytes == path.stat().st_size
    assert (
        seen.first_lines[1]
        == "9999-99-99;99999;99,99;9999999-99999 | Aaaa, Aaa - Aaaaaaaa aaaaaaaaa  ;AAAA99999999 - AAAA, AAA;99999"
    )


def test_a_file_without_a_header(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_bytes(f"{line()}\n{line()}\n".encode())
    seen = inspect_file(path, lines=1)
    assert (seen.format, seen.encoding, seen.error.reason) == (None, "utf-8", Reason.NO_USABLE_HEADER)
    assert len(seen.first_lines) == 1
    assert "Béla" not in str(seen)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "claims.pdf"
    path.write_bytes(b"%PDF-1.7 Roy")
    seen = inspect_file(path)
    assert (seen.encoding, seen.first_lines, seen.error.reason) == (None, (), Reason.NOT_A_CSV)
