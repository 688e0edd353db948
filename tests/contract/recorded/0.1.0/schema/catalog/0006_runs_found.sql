-- What runs are found by. Few of them fail and few are under way, so those indexes are small and seldom written.

CREATE INDEX runs_person ON runs ((document->>'requested_by'), sequence);
CREATE INDEX runs_failed ON runs (sequence) WHERE state = 'failed';
CREATE INDEX runs_under_way ON runs (sequence) WHERE state IN ('running', 'undoing');
