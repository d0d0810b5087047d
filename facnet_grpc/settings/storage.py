"""Settings of PostgreSQL, Redis and the blob store, and the keys that encrypt what they hold."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from facnet_grpc.settings.environment import SettingsError, SettingsGroup
from facnet_grpc.settings.keys import BadKeys, Keys


class StorageSettings(SettingsGroup):
    """Where data is kept, and the keys that encrypt it."""

    database_url: SecretStr = Field(
        description="PostgreSQL 15 or newer, as a URL or a conninfo string; sslmode and sslrootcert are honoured: "
        "verify-full beyond this machine.",
    )
    redis_url: SecretStr = Field(
        description="Redis 7 or Valkey, as a redis://, rediss:// (TLS; ssl_ca_certs names its CA) or unix:// URL; its "
        "eviction policy must be noeviction.",
    )
    database_connections: int = Field(16, gt=0, description="Most connections that one process holds to PostgreSQL.")
    blob_dir: Path = Field(
        description="Directory where uploaded files wait for a worker; shared by server and workers."
    )
    pseudonym_key: SecretStr = Field(
        min_length=32,
        description="Secret that the pseudonyms of patients and doctors are made with, or id:secret; at least 32 "
        "characters, the same everywhere. Older ones may follow, after commas: their pseudonyms are still understood.",
    )
    blob_key_file: Path | None = Field(
        None, description="File with the keys of FACNET_BLOB_KEY, one a line; readable for the service only."
    )
    blob_key: SecretStr | None = Field(
        None,
        description="Secret that files and patients are encrypted with at rest, or id:secret; at least 32 characters, "
        "the same everywhere. Older ones may follow, after commas: what they protect is still read.",
    )

    @field_validator("pseudonym_key", "blob_key")
    @classmethod
    def _keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Keys.parse(value.get_secret_value())
        return value

    @cached_property
    def pseudonym_keys(self) -> Keys:
        """The keys of pseudonyms, the current one first."""
        return Keys.parse(self.pseudonym_key.get_secret_value())

    @cached_property
    def blob_keys(self) -> Keys:
        """The keys of what is at rest, the current one first. Raises `SettingsError` if there is none."""
        try:
            if self.blob_key is not None:
                return Keys.parse(self.blob_key.get_secret_value())
            if self.blob_key_file is not None:
                return Keys.parse(self.blob_key_file.read_text("utf-8"))
        except OSError:
            raise SettingsError("FACNET_BLOB_KEY_FILE: cannot be read.") from None
        except (BadKeys, UnicodeDecodeError) as error:
            said = str(error) if isinstance(error, BadKeys) else "is no text"
            raise SettingsError(f"FACNET_BLOB_KEY_FILE: {said}.") from None
        description = type(self).model_fields["blob_key"].description
        raise SettingsError(f"FACNET_BLOB_KEY: is missing. {description} Or set FACNET_BLOB_KEY_FILE.")
