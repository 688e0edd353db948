"""What a schema of Postgres consists of, for comparing one with another."""

from typing import NamedTuple

import psycopg

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           coalesce(pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, ''))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
_RULES = """
    SELECT c.relname, r.conname, pg_get_constraintdef(r.oid) FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid
    WHERE r.connamespace = %(schema)s::regnamespace AND r.contype <> 'n'
    UNION ALL
    SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = %(schema)s::regnamespace AND NOT t.tgisinternal
"""
_INDEXES = """
    SELECT t.relname, c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    WHERE c.relnamespace = %(schema)s::regnamespace
"""
_FUNCTIONS = "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace"
_BOOKKEEPING = {"alembic_version", "schema_version"}


class Column(NamedTuple):
    """One column of a table."""

    table: str
    name: str
    type: str
    is_required: bool
    default: str | None


class Schema(NamedTuple):
    """Everything in a schema but what notes its changes."""

    columns: frozenset[Column]
    rules: frozenset[tuple[str, str, str]]
    """Constraints and triggers: table, name, definition."""
    indexes: frozenset[tuple[str, str, str, bool]]
    """Table, name, definition, and whether it is usable."""
    functions: frozenset[tuple[str, str]]

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(column.table for column in self.columns)


def schema_of(connection: psycopg.Connection, service: str) -> Schema:
    """What the schema of a service consists of at this moment."""

    def rows(query: str) -> list[tuple[str, ...]]:
        found = connection.execute(query.encode(), {"schema": service}).fetchall()
        return [row for row in found if row[0] not in _BOOKKEEPING]

    return Schema(
        frozenset(Column(*row) for row in rows(_COLUMNS)),  # type: ignore[arg-type]
        frozenset((row[0], row[1], row[2]) for row in rows(_RULES)),
        frozenset((row[0], row[1], row[2], bool(row[3])) for row in rows(_INDEXES)),
        frozenset((row[0], row[1]) for row in rows(_FUNCTIONS)),
    )


def what_an_old_reader_would_notice(before: Schema, after: Schema) -> list[str]:
    """Every difference that code written for `before` could trip over, or that locks it out while it is made."""
    found = [f"{c.table}.{c.name} is gone or another" for c in before.columns - after.columns if not _relaxed(c, after)]
    found += [
        f"{column.table}.{column.name} must be given by who does not know it"
        for column in after.columns - before.columns
        if column.table in before.tables and column.is_required and column.default is None and not _was(column, before)
    ]
    found += [f"{table}.{name} is gone or another" for table, name, _ in before.rules - after.rules]
    found += [
        f"{table}.{name} is a new rule for an old table"
        for table, name, _ in after.rules - before.rules
        if table in before.tables
    ]
    found += [f"index {name} is gone or another" for _, name, _, _ in before.indexes - after.indexes]
    found += [
        f"index {name} forbids what was allowed"
        for table, name, definition, _ in after.indexes - before.indexes
        if table in before.tables and definition.startswith("CREATE UNIQUE")
    ]
    found += [f"function {name} is gone or another" for name, _ in before.functions - after.functions]
    return sorted(found)


def _was(column: Column, schema: Schema) -> bool:
    return any((column.table, column.name) == (other.table, other.name) for other in schema.columns)


def _relaxed(column: Column, after: Schema) -> bool:
    """Whether only a demand was dropped."""
    return column.is_required and column._replace(is_required=False) in after.columns
