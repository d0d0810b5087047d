"""What is wrong with a pack is said at once, with file and line."""

import pytest
from declarative_pack_text import GOOD, write

from facnet_grpc.rules.checks import PackError, Status, load_checks, load_packs, validate_pack


def test_a_good_pack_stands_beside_the_shipped_ones(tmp_path):
    write(tmp_path)

    rule = next(rule for rule in load_packs([tmp_path]) if rule.info.id == "my_limit")

    assert rule.info.scenarios == ("exceeded",)
    assert rule.info.needs == ("patient_key",)
    assert [parameter.value for parameter in rule.info.parameters] == [("00689", "15801", "15802", "15803"), 2]
    assert validate_pack(tmp_path / "mine.toml") == ()


BAD = [
    ('primitive = "max_count"', 'primitive = "max_cuont"', 22, "there is no primitive 'max_cuont'"),
    ('codes = ["@MINE"]', 'codes = ["@YOURS"]', 25, "codes: there is no code set @YOURS"),
    (
        'codes = ["@MINE"]',
        'codes = ["689"]',
        25,
        "codes: '689' is no code: five digits, a range such as 15765..15767, or @SET",
    ),
    ('codes = ["@MINE"]', 'codes = "00689"', 25, "codes: a list of codes is wanted, not '00689'"),
    ('codes = ["@MINE"]', "codes = [689]", 25, "codes: a code is a text of five digits, not 689"),
    ("max = 2", 'max = "2"', 26, "max: a whole number is wanted, not '2'"),
    ("max = 2", "max = -2", 26, "max: a whole number is wanted, not -2"),
    ("max = 2", "max = 2\nper = 3", 27, "max_count does not know 'per'"),
    ('severity = "error"', 'severity = "fatal"', 23, "severity is one of error, warning, optimization, info"),
    ('certainty = "certain"', 'certainty = "likely"', 23, "a likely test may not be an error"),
    ('certainty = "certain"', 'certainty = "sure"', 7, "certainty is one of certain, likely, uncertain"),
    ('group = "doctor+patient+day"', 'group = "doctor+moon"', 24, "a group is made of line, doctor"),
    (
        'group = "doctor+patient+day"',
        'group = "doctor+session"',
        24,
        "only exclusions group by session, and it comes last",
    ),
    ('group = "doctor+patient+day"\n', "", 20, "max_count needs a group such as doctor+patient+day"),
    ('scenario = "exceeded"', 'scenario = "Too many"', 21, "a test needs a scenario: small letters, digits and _"),
    ('source = "House rules"\n', "", 4, "a check needs source, a text"),
    ('id = "my_limit"', 'id = "2 a day"', 5, "'2 a day' is no id"),
    ('id = "my_limit"', 'id = "A11"', 5, "there is a check 'A11' already, in annual_and_count.toml line"),
    ('MINE = ["00689", "15801..15803"]', 'PEC = ["00689"]', 2, "there is a code set 'PEC' already"),
    ('message = "{count} lines: {max} at most."\n', "", 15, "message of scenario 'exceeded' is missing"),
    ("{count} lines: {max} at most.", "{total} lines.", 17, "max_count does not offer {total} to a text"),
    ('name = "Two a day"\n', "", 15, "a check needs [check.text.en] with a name"),
    (
        'name = "Two a day"',
        'name = "Two a day"\nhint = "?"',
        17,
        "a text has name, title, message, solution, not 'hint'",
    ),
    ('solution = "Remove the others."', 'solution.exceded = "?"', 18, "there is no scenario 'exceded'"),
    ("max = 2", "max = 2\nfrom = 2020-01-01\nto = 2019-01-01", 28, "a test cannot end before it begins"),
    ("max = 2", 'max = 2\nfrom = "2020"', 27, "from is a date such as 2019-10-01"),
    ("max = 2", "max = 2\nat_risk = 1", 27, "at_risk is true or false"),
    ("max = 2", 'max = 2\nat = "home"', 27, "at: one of cabinet, establishment is wanted, not 'home'"),
    ("max = 2", 'max = 2\ncertainty = "sure"', 27, "certainty is one of certain, likely, uncertain"),
    ('category = "counts"', 'category = "counts"\ncolour = "red"', 7, "a check has no 'colour'"),
    ('category = "counts"', 'category = "counts"\nenabled = "no"', 7, "enabled is true or false"),
    ("[[check]]", "[[cheque]]\n[[check]]", 4, "a pack has check, sets, switch, not 'cheque'"),
    ("00689 TREA80010111 ! exceeded =10.00", "00689 ! exceeded", 34, "1 values for 2 columns"),
    ("! exceeded =10.00", "! exceded", 34, "there is no scenario 'exceded'"),
    ('columns = "code patient"', 'columns = "code patron"', 32, "there is no column 'patron'"),
    ("# three\n", "", 31, "a table begins with a title after #"),
    (
        'columns = "code patient"',
        'columns = "code patient"\nrows = 3',
        28,
        "[check.cases] has columns, tables and may have today",
    ),
    ('columns = "code patient"', 'columns = "code patient"\ntoday = "now"', 30, "today is a date such as 2025-06-30"),
    ("max = 2\n", "", 20, "max_count needs max or max_by_code"),
    ('MINE = ["00689", "15801..15803"]', 'MINE = ["689"]', 2, "'689' is no code"),
    (
        'primitive = "max_count"',
        'primitive = "mutual_exclusion"',
        25,
        "mutual_exclusion takes its codes from its own parameters",
    ),
    ('primitive = "max_count"', 'primitive = "time_window"', 22, "time_window needs windows"),
    ("max = 2", "max = = 2", 26, "is no TOML"),
]


@pytest.mark.parametrize(("old", "new", "line", "sentence"), BAD, ids=[f"{line}-{text[:40]}" for *_, line, text in BAD])
def test_problems_name_file_and_line(tmp_path, old, new, line, sentence):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))

    problems = validate_pack(path)

    assert f"{path}:{line}: {sentence}" in [str(problem)[: len(f"{path}:{line}: {sentence}")] for problem in problems]


def test_all_problems_are_said_at_once(tmp_path):
    write(tmp_path, GOOD.replace('"max_count"', '"nothing"').replace('source = "House rules"\n', ""), "a.toml")
    write(
        tmp_path, GOOD.replace("my_limit", "other").replace("MINE", "OTHER").replace("max = 2", "max = true"), "b.toml"
    )

    with pytest.raises(PackError) as error:
        load_packs([tmp_path])

    places = [line.removeprefix(f"{tmp_path}/").partition(" ")[0] for line in str(error.value).splitlines()]
    assert places == ["a.toml:4:", "a.toml:21:", "b.toml:26:"]


def test_two_values_for_one_day_are_refused(tmp_path):
    second = GOOD[GOOD.index("[[check.test]]") : GOOD.index("[check.cases]")]
    path = write(tmp_path, GOOD.replace(second, second.replace("max = 2", "max = 2\nto = 2024-12-31") + second))

    assert [str(problem) for problem in validate_pack(path)] == [
        f"{path}:29: two tests of scenario 'exceeded' hold on the same day",
    ]


def test_a_check_without_a_test_is_refused(tmp_path):
    second = GOOD[GOOD.index("[[check.test]]") : GOOD.index("[check.cases]")]
    path = write(tmp_path, GOOD.replace(second, ""))

    assert f"{path}:4: a check needs at least one [[check.test]]" in [str(problem) for problem in validate_pack(path)]


def test_a_file_or_folder_that_is_not_there_is_a_problem(tmp_path):
    with pytest.raises(PackError, match="is no folder"):
        load_packs([tmp_path / "none"])
    assert [problem.sentence for problem in validate_pack(tmp_path / "none.toml")] == [
        "cannot be read: FileNotFoundError"
    ]


def test_a_file_that_is_no_utf8_is_a_problem(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes("# é".encode("latin-1"))

    assert [problem.sentence for problem in validate_pack(path)] == ["cannot be read: UnicodeDecodeError"]


def test_a_switch_turns_a_shipped_check_off_and_on(tmp_path):
    write(tmp_path, '[[switch]]\ncheck = "F08"\nenabled = false\n')

    assert "F08" not in {rule.info.id for rule in load_packs([tmp_path])}
    assert {check.id: check.status for check in load_checks([tmp_path]).checks}["F08"] is Status.OFF
    assert "F08" in {rule.info.id for rule in load_packs()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[switch]]\ncheck = "F99"\nenabled = true\n', "2: there is no check 'F99' to turn on or off"),
        ('[[switch]]\ncheck = "T06"\nenabled = true\n', "2: there is no check 'T06' to turn on or off"),
        ('[[switch]]\ncheck = "F08"\n', "1: a switch has check and enabled (true or false)"),
        ("sets = 3\n", "1: [sets] has to be a table"),
        ("check = 3\n", "1: write [[check]] for each check"),
    ],
)
def test_a_wrong_switch_is_a_problem(tmp_path, text, problem):
    path = write(tmp_path, text)

    assert [str(found) for found in validate_pack(path)] == [f"{path}:{problem}"]


def test_an_uncertain_check_is_off_until_it_is_switched_on(tmp_path):
    text = GOOD.replace('certainty = "certain"', 'certainty = "uncertain"').replace('"error"', '"warning"')
    write(tmp_path, text)
    assert "my_limit" not in {rule.info.id for rule in load_packs([tmp_path])}

    write(tmp_path, text + '\n[[switch]]\ncheck = "my_limit"\nenabled = true\n')
    assert "my_limit" in {rule.info.id for rule in load_packs([tmp_path])}
