"""SQL over the tables of a case, by DuckDB, without reach to anything else.

The Parquet files become views; then external access is locked, so that a query can neither read other files nor the network.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from greyzone.case import Case
from greyzone.errors import InputError
from greyzone.records import TABLES


def query_case(case: str | Path, query: str) -> pa.Table:
    """Run one query over the tables of a case.

    Parameters
    ----------
    case
        Case folder; each of its tables is a view of the same name.
    query
        SQL in DuckDB's dialect.

    Returns
    -------
    pyarrow.Table
        The result.

    Raises
    ------
    InputError
        If the query fails, with the tables that there are.
    """
    import duckdb

    opened = Case(case)
    names = [name for name in TABLES if opened.has(name)]
    with duckdb.connect(":memory:") as connection:
        for name in names:
            connection.register(name, opened.table(name))
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            relation = connection.sql(query)
            return relation.to_arrow_table() if relation is not None else pa.table({"done": [True]})
        except duckdb.Error as error:
            raise InputError(f"the query fails: {str(error).splitlines()[0]}", f"SQL over {', '.join(names)}") from error
