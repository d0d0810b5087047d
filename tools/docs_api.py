"""The API page: services, messages and enums with the comments of the protos."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docs_markdown import anchor, head, table
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

PACKAGE = ".facnet.v1."
# Field numbers inside descriptor.proto: the steps of a path to a comment.
MESSAGES, ENUMS, SERVICES, CHILDREN = 4, 5, 6, 2


@dataclass
class Source:
    """A proto file and its comments by path."""

    file: FileDescriptorProto
    comments: dict[tuple[int, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the comments."""
        for location in self.file.source_code_info.location:
            lines = location.leading_comments.splitlines()
            self.comments[tuple(location.path)] = "\n".join(line.removeprefix(" ") for line in lines).strip()


def page(root: Path) -> str:
    """Return the page. Raises `CalledProcessError` if the protos do not compile."""
    sources = _read(root)
    lines = head("The API", "`protos/`")
    lines += ["Package `facnet.v1`. Texts are in French, or in English if `accept-language` asks for it.", ""]
    for source in sources:
        for index, service in enumerate(source.file.service):
            lines += _service(source, index, service)
    lines += ["## Messages", ""]
    for source in sources:
        for index, message in enumerate(source.file.message_type):
            lines += _message(source, index, message)
    lines += ["## Enums", ""]
    for source in sources:
        for index, enum in enumerate(source.file.enum_type):
            lines += _enum(source, index, enum)
    return "\n".join(lines)


def _read(root: Path) -> list[Source]:
    """Compile the protos with buf and return those of the project, the ones with services first."""
    image = subprocess.run(  # noqa: S603 - the project's own buf
        [root / ".venv" / "bin" / "buf", "build", "-o", "-#format=binpb"],
        cwd=root,
        check=True,
        capture_output=True,
    ).stdout
    files = [file for file in FileDescriptorSet.FromString(image).file if file.name.startswith("facnet/")]
    return [Source(file) for file in sorted(files, key=lambda file: (not file.service, file.name))]


def _service(source: Source, index: int, service: ServiceDescriptorProto) -> list[str]:
    path = (SERVICES, index)
    lines = [f"## {service.name}", "", source.comments[path], ""]
    for number, method in enumerate(service.method):
        lines += [f"### {method.name}", "", source.comments[(*path, CHILDREN, number)], ""]
        lines += [f"{_side(method, 'client')} → {_side(method, 'server')}", ""]
    return lines


def _side(method: MethodDescriptorProto, side: str) -> str:
    kind, streams = {
        "client": (method.input_type, method.client_streaming),
        "server": (method.output_type, method.server_streaming),
    }[side]
    return f"{'stream of ' if streams else ''}{_link(kind)}"


def _message(source: Source, index: int, message: DescriptorProto) -> list[str]:
    path = (MESSAGES, index)
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    rows = (
        (f"`{item.name}`", _type(item, entries), source.comments[(*path, CHILDREN, number)])
        for number, item in enumerate(message.field)
    )
    return [f"### {message.name}", "", source.comments[path], "", *table(("Field", "Type", "What"), rows)]


def _enum(source: Source, index: int, enum: EnumDescriptorProto) -> list[str]:
    path = (ENUMS, index)
    rows = (
        (f"`{value.name}`", str(value.number), source.comments[(*path, CHILDREN, number)])
        for number, value in enumerate(enum.value)
    )
    return [f"### {enum.name}", "", source.comments[path], "", *table(("Value", "Number", "What"), rows)]


def _type(item: FieldDescriptorProto, entries: dict[str, DescriptorProto]) -> str:
    entry = entries.get(item.type_name.rpartition(".")[2])
    if entry is not None:
        return f"map of {_type(entry.field[0], {})} to {_type(entry.field[1], {})}"
    name = (
        _link(item.type_name)
        if item.type_name
        else FieldDescriptorProto.Type.Name(item.type).removeprefix("TYPE_").lower()
    )
    return " ".join([*_words(item), name])


def _words(item: FieldDescriptorProto) -> Iterator[str]:
    if item.label == FieldDescriptorProto.LABEL_REPEATED:
        yield "repeated"
    if item.proto3_optional:
        yield "optional"


def _link(kind: str) -> str:
    name = kind.removeprefix(PACKAGE)
    return f"[{name}]({anchor(name)})" if kind.startswith(PACKAGE) else f"`{kind.lstrip('.')}`"
