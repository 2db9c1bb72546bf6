"""The case folder: tables, manifest, fingerprints, resume.

A case is one Parquet file a table, Parquet files of vectors, ``manifest.json``, ``report.html``, ``export/`` and ``cache/``. Every file is
written beside its place, flushed to disk and renamed. The files of a stage are kept aside until all of them are there; then the
manifest says that they are to take their places, they do, and the manifest names the stage (a redo log). So a run that is killed at
any moment leaves the old state of a stage or, once the next run has gone on from there, the new one: never one table of each, since a
stage may read what it wrote the last time. The manifest holds no clock time: the same input, settings and code give the same bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from greyzone._version import __version__
from greyzone.errors import FULL, CaseError, InputError, StorageError
from greyzone.records import GIVEN, TABLES, Floats, check, empty

FORMAT = 1
MANIFEST = "manifest.json"
_LOCK = ".lock"
_TEMPORARY = ".part"
_ASIDE = ".next"
_PENDING = "pending"
_OUR_FILES = {MANIFEST, _LOCK, _ASIDE, "report.html", "export", "cache"}


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What the manifest says of a stage: the fingerprint of what it read, the digests of its files, its counts."""

    fingerprint: str
    files: Mapping[str, str]
    notes: Mapping[str, object] = field(default_factory=dict)


class Case:
    """A case folder, open for reading; `Case.writing` opens one for a run.

    Parameters
    ----------
    path
        The folder, as `greyzone run` made it.

    Attributes
    ----------
    home
        Where the files of the stage at hand are written: `path`, or aside (`staged`).

    Raises
    ------
    CaseError
        If the folder is not there, is not a case, or its manifest cannot be read.

    Examples
    --------
    >>> case = Case("CASE")  # doctest: +SKIP
    >>> case.table("narratives").num_rows  # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise CaseError(
                f"no folder {str(path)!r}", "a case folder", "make one with: greyzone run DOCUMENTS --incidents FILE --out FOLDER"
            )
        self.manifest: dict[str, object] = _read_manifest(self.path)
        self.home = self.path

    @classmethod
    @contextlib.contextmanager
    def writing(cls, path: str | Path) -> Iterator[Case]:
        """Open or make a case folder for a run, holding its lock until the block ends.

        Raises
        ------
        CaseError
            If the folder holds other files, cannot be written, or another run holds it.
        """
        folder = Path(path)
        _claim(folder)
        with _locked(folder):
            for leftover in folder.rglob(f"*{_TEMPORARY}"):
                leftover.unlink()
            if not (folder / MANIFEST).exists():
                write_bytes(
                    folder / MANIFEST, _json({"format": FORMAT, "greyzone": __version__, "settings": {}, "inputs": {}, "stages": {}})
                )
            case = cls(folder)
            case.go_on()
            shutil.rmtree(folder / _ASIDE, ignore_errors=True)
            yield case

    def __repr__(self) -> str:
        return f"<Case {str(self.path)!r} with {', '.join(name for name in TABLES if self.has(name)) or 'no table yet'}>"

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a table; or some columns, whatever else the version of greyzone that wrote it knew.

        Raises
        ------
        InputError
            If greyzone has no table of that name.
        CaseError
            If this case has none yet, or the file is damaged.
        """
        if name not in TABLES:
            raise InputError(f"no table {name!r}", f"one of {', '.join(TABLES)}")
        file = self.path / f"{name}.parquet"
        try:
            return check(pq.read_table(file), TABLES[name], name) if columns is None else pq.read_table(file, columns=list(columns))
        except FileNotFoundError:
            if name in GIVEN:
                return empty(TABLES[name])
            raise CaseError(
                f"case {self.path} has no table {name!r} yet", "a finished stage", "go through what is left with: greyzone report CASE"
            ) from None
        except pa.ArrowInvalid as error:
            raise CaseError(
                f"{file} is damaged ({error})", "a Parquet file", "run greyzone on the case again: it makes the table anew"
            ) from error

    def has(self, name: str) -> bool:
        """Say whether the table `name` has been written."""
        return (self.path / f"{name}.parquet").is_file()

    def write_table(self, name: str, rows: pa.Table) -> None:
        """Write a table of its declared schema, whole or not at all."""
        self.write_file(f"{name}.parquet", _parquet(check(rows, TABLES[name], name)))

    def write_vectors(self, name: str, ids: list[str], vectors: Floats) -> None:
        """Write rows of unit vectors, float16, with their ids."""
        width = vectors.shape[1]
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float16).ravel())
        rows = pa.table({"id": pa.array(ids, pa.string()), "vector": pa.FixedSizeListArray.from_arrays(flat, width)})
        # A dictionary of all halves there are costs more than all else here, and room too.
        self.write_file(f"{name}.parquet", _parquet(rows, dictionaries=["id"]))

    def write_file(self, name: str, write: Callable[[Path], object]) -> None:
        """Let `write` make a file of the case, whole or not at all."""
        replace_file(self.home / name, write)

    def vectors(self, name: str) -> tuple[list[str], Floats]:
        """Read what `write_vectors` wrote: the ids and a (n, d) float32 array.

        Raises
        ------
        CaseError
            If there are no such vectors, or their file cannot be read.
        """
        file = self.path / f"{name}.parquet"
        try:
            rows = pq.read_table(file)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise CaseError(f"{file} cannot be read ({error})", "vectors of an earlier stage", "run greyzone on the case again") from error
        column = rows.column("vector").combine_chunks()
        width = column.type.list_size
        array = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width).astype(np.float32)
        return rows.column("id").to_pylist(), array

    def stage(self, name: str) -> StageRecord | None:
        """Return what the manifest says of a stage if its files are there and whole, else None."""
        found = _section(self, "stages").get(name)
        if not isinstance(found, dict):
            return None
        record = StageRecord(str(found["fingerprint"]), dict(found["files"]), dict(found.get("notes", {})))
        return record if all(self.whole(name, file) for file in record.files) else None

    @contextlib.contextmanager
    def staged(self) -> Iterator[None]:
        """Keep what is written in the block aside until `finish_stage`, so that a stage changes all of its files or none."""
        self.home = self.path / _ASIDE
        try:
            _make(self.home)
            yield
        finally:
            self.home = self.path
            if _PENDING not in self.manifest:
                shutil.rmtree(self.path / _ASIDE, ignore_errors=True)

    def finish_stage(self, name: str, fingerprint: str, files: list[str], notes: Mapping[str, object]) -> None:
        """Enter a stage into the manifest, once its `files` are on disk."""
        digests = {file: digest(self.home / file) for file in sorted(files)}
        # As the manifest will say it: a run that goes on from the file must not see its notes in another order than the one that wrote it.
        told = json.loads(_json(dict(notes)))
        self.manifest[_PENDING] = {"stage": name, "record": {"fingerprint": fingerprint, "files": digests, "notes": told}}
        _save(self)
        self.go_on()

    def go_on(self) -> None:
        """Put the files of a stage that was to be entered when a run was killed in their places, and enter it."""
        pending = self.manifest.get(_PENDING)
        if isinstance(pending, dict):
            for file in pending["record"]["files"]:
                aside, place = self.path / _ASIDE / file, self.path / file
                if aside.is_dir():
                    # A folder cannot take the place of another in one step; the one aside stays until it has.
                    shutil.rmtree(place, ignore_errors=True)
                if aside.exists():
                    aside.replace(place)
            _section(self, "stages")[pending["stage"]] = pending["record"]
            del self.manifest[_PENDING]
            _save(self)

    def whole(self, name: str, file: str) -> bool:
        """Say whether `file` is there as the stage `name` left it."""
        found = _section(self, "stages").get(name)
        known = found["files"].get(file) if isinstance(found, dict) else None
        return known is not None and (self.path / file).exists() and digest(self.path / file) == known

    def update(self, section: str, content: Mapping[str, object], *, save: bool = True) -> None:
        """Set keys of a section of the manifest ("settings", "inputs" or "updates") and save it, now or with the next stage."""
        _section(self, section).update(content)
        if save:
            _save(self)

    @property
    def settings(self) -> dict[str, object]:
        """Settings that the case was last run with."""
        return dict(_section(self, "settings"))

    @property
    def inputs(self) -> dict[str, object]:
        """Input files with their digests."""
        return dict(_section(self, "inputs"))

    def notes(self) -> dict[str, object]:
        """Return what every stage noted: counts, drops, warnings, context."""
        return {name: record.get("notes", {}) for name, record in _section(self, "stages").items() if isinstance(record, dict)}


def _save(case: Case) -> None:
    write_bytes(case.path / MANIFEST, _json(case.manifest))


def _section(case: Case, name: str) -> dict[str, object]:
    section = case.manifest.setdefault(name, {})
    if not isinstance(section, dict):
        raise CaseError(
            f"{case.path / MANIFEST}: {name} is a {type(section).__name__}", "a mapping", "restore the file or start a new case"
        )
    return section


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write into {folder} ({error.strerror or error})", "", "mend that and run again") from error


def _parquet(rows: pa.Table, dictionaries: bool | list[str] = True) -> Callable[[Path], object]:
    return lambda target: pq.write_table(rows, target, compression="zstd", store_schema=True, version="2.6", use_dictionary=dictionaries)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    replace_file(path, lambda target: Path(target).write_bytes(content))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, flush it to disk and rename it into place.

    Raises
    ------
    StorageError
        If the disk is full or refuses; what was at `path` before is untouched.
    """
    beside = path.with_name(f"{path.name}{_TEMPORARY}")
    try:
        write(beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if error.errno in FULL or "No space left" in str(error) or "File too large" in str(error):
            raise StorageError(
                f"no space left to write {path}", "", "free some space and run the same command again: finished stages are kept"
            ) from error
        raise StorageError(f"cannot write {path} ({error.strerror or error})", "", "mend that and run the same command again") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of the files below a folder."""
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\0".encode())
        return total.hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """Digest of JSON-able parts together with greyzone's own code, so that a changed method is a changed fingerprint."""
    content = json.dumps([_code_digest(), *parts], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def _code_digest() -> str:
    package = Path(__file__).parent
    total = hashlib.sha256()
    homes = [package, *(Path(spec) for spec in _model_folders())]
    for home in homes:
        for file in sorted(home.rglob("*")):
            if file.suffix in {".py", ".yaml", ".j2", ".css", ".js", ".xz", ".json"}:
                total.update(file.relative_to(home).as_posix().encode())
                total.update(file.read_bytes())
    return total.hexdigest()


def _model_folders() -> list[str]:
    import greyzone.models

    return list(greyzone.models.__path__)


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n").encode()


def _read_manifest(folder: Path) -> dict[str, object]:
    file = folder / MANIFEST
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise CaseError(
            f"{folder} has no {MANIFEST}", "a case folder", "make one with: greyzone run DOCUMENTS --incidents FILE --out FOLDER"
        ) from None
    except (ValueError, OSError) as error:
        raise CaseError(
            f"{file} cannot be read ({error})", "the manifest of a case", "restore it, or start a new case in another folder"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CaseError(f"{file} has format {found!r}", f"format {FORMAT}", "open it with the version of greyzone that made it")
    return content


def _claim(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = sorted(item.name for item in folder.iterdir() if not _is_ours(item.name))
    except OSError as error:
        raise CaseError(
            f"cannot use {folder} as a case ({error.strerror})", "a folder that can be written", "name another folder"
        ) from error
    if strange and not (folder / MANIFEST).exists():
        raise CaseError(f"{folder} holds other files ({', '.join(strange[:3])})", "a new or empty folder, or a case", "name another folder")


def _is_ours(name: str) -> bool:
    return name in _OUR_FILES or name.endswith(_TEMPORARY)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        handle = (folder / _LOCK).open("ab")
    except OSError as error:
        known = (folder / MANIFEST).exists()
        remedy = "make it writable, or go on with a copy of the case" if known else "make it writable, or name another folder"
        raise CaseError(f"cannot write into {folder} ({error.strerror})", "a folder that can be written", remedy) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CaseError(f"another run is at work in {folder}", "one run a case", "wait for it, or name another folder") from None
        yield
