"""The schema `gateway`, as numbered changes; see `chassis.database`."""
