"""The notifier's tables, as numbered changes (see `chassis.database.Database.migrate`)."""
