-- Everything a person may ask for has its row; `run_id` is the run that a request steers.
ALTER TABLE requests DROP CONSTRAINT requests_operation_check;
ALTER TABLE requests ADD CONSTRAINT requests_operation_check
    CHECK (operation IN ('create', 'update', 'delete', 'cancel', 'extend', 'grant', 'revoke'));
ALTER TABLE requests ADD COLUMN run_id uuid;
