"""A slow and plain reader of claim files, to compare the real one with: one character after the other, one line after
the other. It is told how the file is written and shares only the functions that read single cells."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import partial

from facnet_grpc.ingest import dates, values
from facnet_grpc.ingest.columns import recognise

TOTAL = re.compile(r"\W*((grand|sous)[ \u00a0-]*)?(total|totaux|somme)\b", re.IGNORECASE)
NEEDED = {
    "service_date": "bad_date",
    "code": "bad_code",
    "preliminary_cents": "bad_amount",
    "doctor_key": "missing_required",
}


def cells_of(text: str, start: int, delimiter: str):
    """Return the cells of the record at `start` and its end; None if a quote is not closed as it should be."""
    cells, position = [], start
    while True:
        is_quoted = text[position : position + 1] == '"'
        found = (quoted_cell if is_quoted else bare_cell)(text, position, delimiter)
        if found is None:
            return None
        cell, position = found
        cells.append(cell)
        if position == len(text) or text[position] != delimiter:
            return cells, position
        position += 1


def bare_cell(text: str, start: int, delimiter: str):
    end = start
    while end < len(text) and text[end] not in (delimiter, "\r", "\n"):
        end += 1
    return text[start:end], end


def quoted_cell(text: str, start: int, delimiter: str):
    cell, position = "", start + 1
    while position < len(text):
        if text.startswith('""', position):
            cell, position = cell + '"', position + 2
        elif text[position] == '"':
            position += 1
            is_closed = position == len(text) or text[position] in (delimiter, "\r", "\n")
            return (cell, position) if is_closed else None
        else:
            cell, position = cell + text[position], position + 1
    return None


def records_of(text: str, delimiter: str, width: int):
    """Return (cells or None, raw text) of every record."""
    position = 0
    while position < len(text):
        found = cells_of(text, position, delimiter)
        line_end = min(
            (at for at in (text.find("\r", position), text.find("\n", position)) if at >= 0), default=len(text)
        )
        if found and (len(found[0]) == width or found[1] <= line_end):
            cells, end = found
            yield cells, text[position:end]
        else:
            end = line_end
            yield None, text[position:end]
        position = end + 1


def read(text: str, delimiter: str, *, order=dates.DateOrder.YEAR_FIRST, mark=","):
    """Return accepted lines as dictionaries, and rejected ones as (number, column, reason, raw text)."""
    header_end = min(at for at in (text.find("\r"), text.find("\n"), len(text)) if at >= 0)
    names = [recognise(name) for name in cells_of(text, 0, delimiter)[0]]
    columns = {name[0]: position for position, name in enumerate(names) if name}
    accepted, rejected, defects, number = [], [], {}, 0
    for cells, raw in records_of(text[header_end + 1 :], delimiter, len(names)):
        if cells is not None and len(cells) != len(names):
            stripped = raw.replace(delimiter, "").replace('"', "").strip("".join(map(chr, range(33))))
            if not stripped or TOTAL.match(raw.replace(delimiter, " ")):
                continue
            number += 1
            rejected.append((number, None, "wrong_field_count", raw))
            continue
        if cells is None:
            number += 1
            rejected.append((number, None, "unterminated_quote", raw))
            continue
        line, bad = parse({name: cells[at].strip() for name, at in columns.items()}, order, mark)
        if is_none({name: cells[at].strip() for name, at in columns.items()}, line):
            continue
        number += 1
        needed = [name for name in NEEDED if line[name] is None]
        if needed:
            name = needed[0]
            reason = NEEDED[name] if cells[columns[name]].strip() else "missing_required"
            rejected.append((number, name, reason, raw))
            continue
        for name in bad:
            defects[name] = defects.get(name, 0) + 1
        accepted.append({"record_number": number, **line})
    return accepted, rejected, defects


def lines_of(text: str) -> int:
    """Return how many lines an editor counts."""
    breaks = re.findall(r"\r\n|\r|\n", text)
    return len(breaks) + (not text.endswith(("\r", "\n")) and text != "")


def blank_lines(text: str, delimiter: str, rows: int) -> int:
    """Return the lines below the header that belong to no accepted or rejected record, given how many of these are."""
    header_end = min(at for at in (text.find("\r"), text.find("\n"), len(text)) if at >= 0)
    body = text[header_end:].removeprefix("\r\n") if text[header_end:].startswith("\r\n") else text[header_end + 1 :]
    width = len(cells_of(text, 0, delimiter)[0])
    broken_up = sum(len(re.findall(r"\r\n|\r|\n", raw)) for _, raw in records_of(body, delimiter, width))
    return lines_of(body) - broken_up - rows


def is_none(cells, line) -> bool:
    if line["service_date"] is not None or cells["doctor_key"]:
        return False
    if any(TOTAL.match(cell) for cell in cells.values()):
        return True
    return not any(cell for name, cell in cells.items() if name not in {"preliminary_cents", "paid_cents"})


def parse(cells, order, mark):
    readers = {
        "service_date": partial(dates.days, order=order),
        "start_time": values.seconds,
        "end_time": values.seconds,
        "place": values.place,
        "code": values.code,
        "units": values.units,
        "context": values.context,
        "preliminary_cents": partial(values.cents, decimal_mark=mark),
        "paid_cents": partial(values.cents, decimal_mark=mark),
        "doctor_key": values.doctor,
        "patient_key": values.patient,
    }
    line, bad = {}, []
    for name, cell in cells.items():
        value = readers.get(name, str)(cell) if cell else None
        if cell and value is None and name in readers and name not in NEEDED and name != "context":
            bad.append(name)
        if name == "doctor_key":
            line |= {"doctor_key": None, "doctor_name": None, "doctor_info": None}
            line |= {"doctor_key": value.key, "doctor_name": value.name, "doctor_info": value.info} if value else {}
        elif name == "patient_key":
            line |= {"patient_key": value and value.key, "patient_name": value and value.name}
        elif name == "service_date":
            line[name] = None if value is None else date(1970, 1, 1) + timedelta(days=value)
        elif name in {"start_time", "end_time"}:
            line[name] = None if value is None else datetime.fromtimestamp(value, UTC).time()
        else:
            line[name] = value
    return line, bad
