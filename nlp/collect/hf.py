"""Folders of the Hugging Face `datasets` library (``save_to_disk``): one dataset, or several splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from greyzone.collect.batches import Chunk, Source
from greyzone.collect.columns import resolve
from greyzone.collect.parquet import names_of, of_table
from greyzone.errors import InputError


def is_dataset(folder: Path) -> bool:
    """Tell whether `folder` was written by ``save_to_disk``."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def splits(folder: Path) -> list[Path]:
    """Return the folders of the splits in the order of their names, or `folder` itself if it has none."""
    if (folder / "state.json").is_file():
        return [folder]
    return sorted(part for part in folder.iterdir() if (part / "state.json").is_file())


def chunks(path: Path, source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Yield the rows of one dataset folder; no code that a dataset may carry is run.

    Raises
    ------
    InputError
        If the folder is damaged or has no text column.
    """
    dataset = _load(path)
    wanted = resolve(names_of(dataset.features.arrow_schema), mapping, source.path)
    read = [name for name in dataset.column_names if any(f"{column}.".startswith(f"{name}.") for column in wanted.values())]
    dataset = dataset.select_columns(read).with_format("arrow")
    first = 1
    for table in dataset.iter(batch_size=batch_rows):
        yield of_table(table, wanted, first)
        first += table.num_rows


def _load(path: Path) -> Any:  # noqa: ANN401
    import datasets

    try:
        return datasets.Dataset.load_from_disk(str(path))
    except Exception as error:
        # The library raises whatever its parsers raise; all of it means that the folder is not what it should be.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a dataset ({type(error).__name__}: {reason})", "a folder of save_to_disk") from None
