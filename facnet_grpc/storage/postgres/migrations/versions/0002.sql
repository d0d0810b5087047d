-- New columns are nullable: the release before writes rows without them while both releases run.

ALTER TABLE validation_runs ADD COLUMN as_of date;
ALTER TABLE revalidations ADD COLUMN as_of date;
