"""All settings, one group per part of the product. Read once from the environment; all problems are shown at once.

`DATABASE_URL` and `REDIS_URL` are the usual ones; everything else begins with `FACNET_`. Lists are comma-separated.

"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from facnet_grpc.settings.access import AccessSettings
from facnet_grpc.settings.environment import SettingsError, SettingsGroup, variable
from facnet_grpc.settings.notify import NotifySettings
from facnet_grpc.settings.process import ProcessSettings, RuleSettings, ServerSettings, UploadSettings, WorkerSettings
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.settings.schedule import ScheduleSettings
from facnet_grpc.settings.storage import StorageSettings


class Settings(BaseModel):
    """What the server and the workers are configured with. A setting's name is unique among all groups."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    storage: StorageSettings
    notify: NotifySettings
    access: AccessSettings  # after `notify`, which its addresses depend on
    uploads: UploadSettings
    queue: QueueSettings
    server: ServerSettings
    rules: RuleSettings
    worker: WorkerSettings
    schedule: ScheduleSettings
    process: ProcessSettings

    @field_validator("access")
    @classmethod
    def _no_loopback_webhooks(cls, access: AccessSettings, info: ValidationInfo) -> AccessSettings:
        notify = info.data.get("notify")
        if access.exposed and notify and notify.webhook_loopback:
            raise ValueError(
                f"{variable(access.exposed)}: must be a loopback address, because FACNET_WEBHOOK_LOOPBACK is set: that "
                "is for trying things out"
            )
        return access

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return settings from `values` by setting name; others have their defaults. Raises `ValidationError`."""
        return cls.model_validate({group: _only(values, fields) for group, fields in groups().items()})

    @classmethod
    def from_env(cls, **values: Any) -> Self:
        """Read the environment; `values` replace what it says. Raises `SettingsError` with one line per problem."""
        names = {variable(name): name for fields in groups().values() for name in fields}
        found = {names[name.upper()]: value for name, value in os.environ.items() if name.upper() in names}
        try:
            settings = cls.of(**found | values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        _ = settings.storage.blob_keys  # raises here if they cannot be read
        return settings

    def replace(self, **values: Any) -> Self:
        """Return the same settings with other `values` by setting name. Raises `ValidationError`."""
        return self.of(**{name: value for group in dict(self).values() for name, value in group} | values)


def groups() -> Mapping[str, Mapping[str, FieldInfo]]:
    """Return each group's settings by name."""
    return {
        name: field.annotation.model_fields
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup)
    }


def _only(values: Mapping[str, Any], names: Mapping[str, FieldInfo]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        text = "is missing" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
        match problem["loc"]:
            case (str(group), str(name), *_):
                lines.append(f"{variable(name)}: {text}. {groups()[group][name].description}")
            case _:  # of two groups: the text begins with the variable
                lines.append(f"{text}.")
    return "\n".join(lines)
