"""The tables of a LeRobotDataset v3.0 that describe it: episodes, tasks, splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from teleopd.service.capture.export.lerobot_stats import Stats, shaped
from teleopd.service.capture.export.settings import VERDICTS


def splits(verdicts: Sequence[str]) -> dict[str, str]:
    """Split -> 'first:end' of episodes; `keep` is train."""
    found: dict[str, str] = {}
    start = 0
    for verdict, group in groupby(verdicts):
        end = start + len(list(group))
        found["train" if verdict == VERDICTS[0] else verdict] = f"{start}:{end}"
        start = end
    return found


def episodes_table(rows: Sequence[dict[str, Any]], stats: Sequence[Stats]) -> pa.Table:
    """`meta/episodes`: a row an episode, with its statistics, so that LeRobot's tools can put them together anew."""
    columns: dict[str, pa.Array] = {}
    for name in rows[0]:
        kind = pa.list_(pa.string()) if name == "tasks" else pa.int64()
        if name.endswith("_timestamp"):
            kind = pa.float64()
        columns[name] = pa.array([row[name] for row in rows], type=kind)
    for feature, row in stats[0].items():
        for key, value in row.items():
            kind = pa.list_(pa.int64() if value.dtype.kind == "i" else pa.float64())
            values = [shaped(feature, key, s[feature][key]) for s in stats]
            for _ in range(values[0].ndim - 1):
                kind = pa.list_(kind)
            columns[f"stats/{feature}/{key}"] = pa.array([value.tolist() for value in values], type=kind)
    columns["meta/episodes/chunk_index"] = pa.array([0] * len(rows), type=pa.int64())
    columns["meta/episodes/file_index"] = pa.array([0] * len(rows), type=pa.int64())
    return pa.table(columns)


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """`meta/tasks.parquet`: task texts as the pandas index; without it LeRobot gives numbers for texts, in silence."""
    index = "__index_level_0__"
    pandas = {
        "index_columns": [index], "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64",
             "metadata": None},
            {"name": None, "field_name": index, "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__}, "pandas_version": "2.2.0",
    }  # fmt: skip
    table = pa.table({
        "task_index": pa.array(range(len(tasks)), type=pa.int64()), index: pa.array(tasks, type=pa.large_string()),
    })  # fmt: skip
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
