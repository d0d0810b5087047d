-- Reference data, by version.

-- fragment: version_columns
version, origin, source, code_count, establishment_count, context_count, created_at

-- name: select_in_force
-- Reads the version in force.
SELECT {version_columns} FROM reference_versions ORDER BY adoption DESC LIMIT 1;

-- name: select_version
-- Reads a version by its name.
SELECT {version_columns} FROM reference_versions WHERE version = %(version)s;

-- name: select_by_content
-- Finds the version with a content hash.
SELECT {version_columns} FROM reference_versions WHERE content_hash = %(content_hash)s;

-- name: insert_version
-- Stores a version, in force or behind all others.
INSERT INTO reference_versions
    (version, origin, source, content_hash, adoption, code_count, establishment_count, context_count)
SELECT %(version)s, %(origin)s, %(source)s, %(content_hash)s,
    CASE WHEN %(in_force)s::boolean THEN coalesce(max(adoption), 0) + 1 ELSE coalesce(min(adoption), 0) - 1 END,
    %(code_count)s, %(establishment_count)s, %(context_count)s
FROM reference_versions
RETURNING {version_columns};

-- name: update_adoption
-- Brings a version into force, unless it is.
UPDATE reference_versions
SET adoption = (SELECT max(adoption) + 1 FROM reference_versions)
WHERE version = %(version)s AND adoption < (SELECT max(adoption) FROM reference_versions);

-- name: select_codes
-- Lists all entries of all codes of a version.
SELECT code, place, tariff_cents, base_units, tab, label, valid_from
FROM billing_codes
WHERE version = %(version)s
ORDER BY code COLLATE "C", entry_number;

-- name: select_establishments
-- Lists all establishments of a version.
SELECT number, gmf, name, type FROM establishments WHERE version = %(version)s ORDER BY number COLLATE "C";

-- name: select_contexts
-- Lists all context elements of a version.
SELECT token, label, ends_on FROM contexts WHERE version = %(version)s ORDER BY token COLLATE "C";

-- name: select_code_page
-- Lists the entries of a page of codes of a version.
SELECT code, place, tariff_cents, base_units, tab, label, valid_from
FROM billing_codes
WHERE version = %(version)s AND code IN (
    SELECT DISTINCT code
    FROM billing_codes
    WHERE version = %(version)s AND code > %(after)s AND starts_with(code, %(prefix)s)
    ORDER BY code
    LIMIT %(limit)s
)
ORDER BY code, entry_number;

-- name: select_code
-- Lists the entries of one code of a version.
SELECT code, place, tariff_cents, base_units, tab, label, valid_from
FROM billing_codes
WHERE version = %(version)s AND code = %(code)s
ORDER BY entry_number;

-- name: select_establishment_page
-- Lists a page of establishments of a version.
SELECT number, gmf, name, type
FROM establishments
WHERE version = %(version)s AND number > %(after)s AND (gmf OR NOT %(gmf_only)s::boolean)
ORDER BY number
LIMIT %(limit)s;
