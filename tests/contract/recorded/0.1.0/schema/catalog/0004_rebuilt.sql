-- How often views were rebuilt from the copy: whoever remembers them from before a rebuild may not fold on top of that.
ALTER TABLE log_position ADD COLUMN rebuilt int NOT NULL DEFAULT 0;
