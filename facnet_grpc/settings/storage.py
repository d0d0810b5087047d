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
        description="PostgreSQL 15 or newer, as a URL or a conninfo string. sslmode and sslrootcert are "
        "honoured; use verify-full for another machine.",
    )
    redis_url: SecretStr = Field(
        description="Redis 7 or Valkey, as a redis://, rediss:// (TLS; ssl_ca_certs names the CA file) or "
        "unix:// URL. Its eviction policy must be noeviction.",
    )
    database_connections: int = Field(16, gt=0, description="Maximum number of PostgreSQL connections per process.")
    blob_dir: Path = Field(description="Directory of uploaded files, shared by servers and workers.")
    pseudonym_key: SecretStr = Field(
        min_length=32,
        description="Secret that pseudonyms of patients and doctors are derived from, or id:secret; at least 32 "
        "characters, the same for all processes. Older ones may follow, separated by commas: filters "
        "still accept their pseudonyms.",
    )
    blob_key_file: Path | None = Field(
        None,
        description="File with the keys of FACNET_BLOB_KEY, one per line; readable by the service only. One of "
        "the two settings is required.",
    )
    blob_key: SecretStr | None = Field(
        None,
        description="Key-encryption key of files and patients, or id:secret; at least 32 characters, the same "
        "for all processes. Older ones may follow, separated by commas: data encrypted with them can "
        "still be read.",
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
            problem = str(error) if isinstance(error, BadKeys) else "is no text"
            raise SettingsError(f"FACNET_BLOB_KEY_FILE: {problem}.") from None
        description = type(self).model_fields["blob_key"].description
        raise SettingsError(f"FACNET_BLOB_KEY: is missing. {description} Or set FACNET_BLOB_KEY_FILE.")
