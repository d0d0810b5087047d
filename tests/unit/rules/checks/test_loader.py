"""What is wrong with a pack is said at once, with file and line."""

import pytest

from facnet_grpc.rules.checks.compile import CheckRule
from facnet_grpc.rules.checks.packs import load_checks, validate_pack
from facnet_grpc.rules.checks.schema import PackError, Status
from tests.rules.pack_text import HOUSE, write


def test_a_good_pack_stands_beside_the_shipped_ones(tmp_path):
    write(tmp_path)

    rule = CheckRule.of(next(check for check in load_checks([tmp_path]).checks if check.id == "my_limit"))

    assert rule.info.scenarios == ("exceeded",)
    assert rule.info.needs == ("patient_key",)
    assert [parameter.value for parameter in rule.info.parameters] == [("00689", "15801", "15802", "15803"), 2]
    assert validate_pack(tmp_path / "mine.toml") == ()


def statuses(folder):
    return {check.id: check.status for check in load_checks([folder]).checks}


SET = 'MINE = ["00689", "15801..15803"]'
PRIMITIVE = 'primitive = "max_count"'
CODES = 'codes = ["@MINE"]'
GROUP = 'group = "doctor+patient+day"'
CATEGORY = 'category = "counts"'
COLUMNS = 'columns = "code patient"'
NAME = 'name = "Two a day"'
MESSAGE = 'message = "{count} lines: {max} at most."'
TEST = HOUSE[HOUSE.index("[[check.test]]") : HOUSE.index("[check.cases]")]

# What is replaced in the pack, by what, and the line and the sentence that come of it.
BAD = [
    (PRIMITIVE, 'primitive = "max_cuont"', 22, "there is no primitive 'max_cuont'; there are age_max_count"),
    (PRIMITIVE, "", 20, "a test needs a primitive"),
    (
        PRIMITIVE,
        'primitive = "mutual_exclusion"',
        25,
        "codes: mutual_exclusion takes its codes from its own",
    ),
    (PRIMITIVE, 'primitive = "time_window"', 20, "time_window needs windows"),
    (CODES, 'codes = ["@YOURS"]', 25, "codes: there is no code set @YOURS"),
    (CODES, 'codes = ["689"]', 25, "codes: '689' is no code: five digits, a range such as 15765..15767, or @SET"),
    (CODES, 'codes = "00689"', 25, "codes: must be a list of codes, not '00689'"),
    (CODES, "codes = [689]", 25, "codes: a code is a text of five digits, not 689"),
    ("max = 2", 'max = "2"', 26, "max: should be a valid integer, not '2'"),
    ("max = 2", "max = true", 26, "max: should be a valid integer, not True"),
    ("max = 2", "max = -2", 26, "max: should be greater than or equal to 0, not -2"),
    ("max = 2", "max = 2\nper = 3", 27, "max_count does not know 'per'; it has max, max_by_code, families"),
    ("max = 2", "max = 2\nfrom = 2020-01-01\nto = 2019-01-01", 28, "to: a test cannot end before it begins"),
    ("max = 2", 'max = 2\nfrom = "2020"', 27, "from: should be a valid date, not '2020'"),
    ("max = 2", "max = 2\nfrom = 2020-01-01T00:00:00", 27, "from: should be a valid date, not datetime"),
    ("max = 2", "max = 2\nat_risk = 1", 27, "at_risk: should be a valid boolean, not 1"),
    ("max = 2", 'max = 2\nat = "home"', 27, "at: should be 'cabinet' or 'establishment', not 'home'"),
    ("max = 2", 'max = 2\ncertainty = "sure"', 27, "certainty: should be 'certain', 'likely' or 'uncertain'"),
    ("max = 2\n", "", 20, "max_count needs max or max_by_code"),
    ("max = 2", "max = = 2", 26, "is no TOML"),
    (
        'severity = "error"',
        'severity = "fatal"',
        23,
        "severity: should be 'error', 'warning', 'optimization'",
    ),
    ('certainty = "certain"', 'certainty = "likely"', 23, "a likely test may not be an error"),
    ('certainty = "certain"', 'certainty = "sure"', 7, "certainty: should be 'certain', 'likely' or 'uncertain'"),
    (GROUP, 'group = "doctor+moon"', 24, "group: a group is made of line, doctor"),
    (GROUP, "group = 3", 24, "group: a group is made of line, doctor"),
    (GROUP, 'group = "doctor+session"', 24, "group: only exclusions group by session, and it comes last"),
    (GROUP + "\n", "", 20, "max_count needs group"),
    ('scenario = "exceeded"', 'scenario = "Too many"', 21, "scenario: 'Too many' is no scenario: small letters"),
    ('source = "House rules"\n', "", 4, "a check needs source"),
    ('source = "House rules"', 'source = " "', 8, "source: ' ' is an empty text"),
    ('id = "my_limit"', 'id = "2 a day"', 5, "id: '2 a day' is no id"),
    ('id = "my_limit"', 'id = "A11"', 5, "there is a check 'A11' already, in annual_and_count.toml line"),
    (SET, 'PEC = ["00689"]', 2, "there is a code set 'PEC' already"),
    (SET, 'MINE = ["689"]', 2, "MINE: '689' is no code"),
    (MESSAGE + "\n", "", 15, "message of scenario 'exceeded' is missing"),
    (MESSAGE, "message = 3", 17, "message: should be a valid dictionary, not 3"),
    ("{count} lines: {max} at most.", "{total} lines.", 17, "max_count does not offer {total} to a text"),
    (NAME + "\n", "", 15, "[check.text.en] needs name"),
    (NAME, NAME + '\nhint = "?"', 17, "[check.text.en] does not know 'hint'; it has name, title, message, solution"),
    ('solution = "Remove the others."', 'solution.exceded = "?"', 18, "there is no scenario 'exceded'"),
    (CATEGORY, CATEGORY + '\ncolour = "red"', 7, "a check does not know 'colour'; it has id, version"),
    (CATEGORY, CATEGORY + '\nenabled = "no"', 7, "enabled: should be a valid boolean, not 'no'"),
    ("[[check]]", "[[cheque]]\n[[check]]", 4, "a pack does not know 'cheque'; it has check, sets, switch"),
    (TEST, "", 4, "a check needs at least one [[check.test]]"),
    (
        TEST,
        TEST.replace("max = 2", "max = 2\nto = 2024-12-31") + TEST,
        29,
        "two tests of scenario 'exceeded' hold on",
    ),
    ("00689 TREA80010111 ! exceeded =10.00", "00689 ! exceeded", 34, "1 values for 2 columns"),
    ("! exceeded =10.00", "! exceded", 34, "there is no scenario 'exceded'"),
    (COLUMNS, 'columns = "code patron"', 32, "there is no column 'patron'"),
    ("# three\n", "", 31, "a table begins with a title after #"),
    (COLUMNS, COLUMNS + "\nrows = 3", 30, "[check.cases] does not know 'rows'; it has columns, tables, today"),
    (COLUMNS, COLUMNS + '\ntoday = "now"', 30, "today: should be a valid date, not 'now'"),
    (HOUSE, '[[switch]]\ncheck = "F99"\nenabled = true\n', 2, "there is no check 'F99' to turn on or off"),
    (HOUSE, '[[switch]]\ncheck = "T06"\nenabled = true\n', 2, "there is no check 'T06' to turn on or off"),
    (HOUSE, '[[switch]]\ncheck = "F08"\n', 1, "a switch needs enabled"),
    (HOUSE, "sets = 3\n", 1, "sets: should be a valid dictionary, not 3"),
    (HOUSE, "check = 3\n", 1, "check: should be a valid list, not 3"),
]


def test_problems_name_file_and_line(tmp_path):
    unreported = []
    for number, (old, new, line, sentence) in enumerate(BAD):
        assert old in HOUSE
        path = write(tmp_path, HOUSE.replace(old, new, 1), f"{number}.toml")
        found = [str(problem) for problem in validate_pack(path)]
        if not any(problem.startswith(f"{path}:{line}: {sentence}") for problem in found):
            unreported.append((line, sentence, found))

    assert unreported == []


def test_all_problems_are_said_at_once(tmp_path):
    write(tmp_path, HOUSE.replace('"max_count"', '"nothing"').replace('source = "House rules"\n', ""), "a.toml")
    write(
        tmp_path, HOUSE.replace("my_limit", "other").replace("MINE", "OTHER").replace("max = 2", "max = true"), "b.toml"
    )

    with pytest.raises(PackError) as error:
        load_checks([tmp_path])

    places = [line.removeprefix(f"{tmp_path}/").partition(" ")[0] for line in str(error.value).splitlines()]
    assert places == ["a.toml:4:", "a.toml:21:", "b.toml:26:"]


def test_a_file_or_folder_that_is_not_there_is_a_problem(tmp_path):
    with pytest.raises(PackError, match="is no folder"):
        load_checks([tmp_path / "none"])
    assert [problem.sentence for problem in validate_pack(tmp_path / "none.toml")] == [
        "cannot be read: FileNotFoundError"
    ]


def test_a_file_that_is_no_utf8_is_a_problem(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes("# é".encode("latin-1"))

    assert [problem.sentence for problem in validate_pack(path)] == ["cannot be read: UnicodeDecodeError"]


def test_a_switch_turns_a_shipped_check_off_and_on(tmp_path):
    write(tmp_path, '[[switch]]\ncheck = "F08"\nenabled = false\n')

    assert statuses(tmp_path)["F08"] is Status.OFF
    assert {check.id: check.status for check in load_checks().checks}["F08"] is Status.ON


def test_an_uncertain_check_is_off_until_it_is_switched_on(tmp_path):
    text = HOUSE.replace('certainty = "certain"', 'certainty = "uncertain"').replace('"error"', '"warning"')
    write(tmp_path, text)
    assert statuses(tmp_path)["my_limit"] is Status.OFF

    write(tmp_path, text + '\n[[switch]]\ncheck = "my_limit"\nenabled = true\n')
    assert statuses(tmp_path)["my_limit"] is Status.ON
