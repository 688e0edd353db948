"""GitHub Actions on one machine: a repository's own workflow files, run for real by `act` without containers.

Invariants
- What runs is the file of that very commit: a job's steps reach `act` as they were committed. Only what the forge knows
  better is filled in: a needed job is replaced by its recorded result and outputs, so that jobs run one at a time.
- A job alone decides what it gets: its environment's variables, and a request token for its identity only where it
  declares `permissions: id-token: write`. The token dies with the job.
- A run is rows before it is a process, so a killed forge forgets none: what was queued runs after the next start, what
  was under way is marked as interrupted and tried once more, as a new attempt.
- A job sees nothing of the platform: an environment of its own, and, where the kernel allows, a mount namespace in
  which the forge's data and the platform's home are empty and everything else is read-only.
"""
