-- What insights and the audit read.

CREATE INDEX runs_requested ON runs (requested_at);

-- What people do, and what the platform does by itself: contracts.insights.AuditAction.
CREATE INDEX events_audit ON events (sequence DESC) WHERE version IS NOT NULL AND kind IN (
    'environment_requested', 'environment_update_requested', 'environment_deletion_requested', 'run_cancel_requested',
    'access_requested', 'access_revocation_requested', 'environment_extended', 'environment_expired', 'drift_detected'
);
CREATE INDEX events_endings ON events (time) WHERE version IS NOT NULL AND kind IN ('environment_expired', 'run_stalled');
