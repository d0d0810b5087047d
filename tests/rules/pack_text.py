"""A small pack for tests of packs: one check with texts, a code set and cases."""

from __future__ import annotations

from pathlib import Path

HOUSE = """\
[sets]
MINE = ["00689", "15801..15803"]

[[check]]
id = "my_limit"
category = "counts"
certainty = "certain"
source = "House rules"

[check.text.fr]
name = "Deux par jour"
message = "{count} lignes\N{NO-BREAK SPACE}: {max} au plus."
solution = "Retirez les autres."

[check.text.en]
name = "Two a day"
message = "{count} lines: {max} at most."
solution = "Remove the others."

[[check.test]]
scenario = "exceeded"
primitive = "max_count"
severity = "error"
group = "doctor+patient+day"
codes = ["@MINE"]
max = 2

[check.cases]
columns = "code patient"
tables = '''
# three
00689 TREA80010111
15801 TREA80010111
00689 TREA80010111 ! exceeded =10.00
# two
00689 TREA80010111
00689 TREA80010111
# nobody
00689 -
? patient_key
'''
"""

SWITCH_OFF_A11 = """
[[switch]]
check = "A11"
enabled = false
"""


def write(folder: Path, text: str = HOUSE, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
