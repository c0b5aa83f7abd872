"""Program and Engine: the joint on which everything turns.

A program says what is computed, purely: rounds over shards, merged in the fixed tree, until it is done. An engine says where.
This file owns both contracts and the values that cross between them; it never knows which engine runs or where data lies.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, TypeVar, runtime_checkable

import numpy as np

from muskox.errors import CallerError
from muskox.records import Array, Record
from muskox.shelf import Shelf, size_of

if TYPE_CHECKING:
    import pyarrow as pa

    from muskox.task_list import TaskList

T = TypeVar("T")

BLOCK_ROWS = 16_384  # rows of a block, the unit of compute: 28 float64 columns of it lie in a 4 MB cache


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a program may know of a dataset before it sees a row.

    columns : name -> type ("int", "float", "bool", "string", "timestamp"), in the order of the file
    shard_rows : rows of each shard, by shard index
    """

    columns: Mapping[str, str]
    shard_rows: tuple[int, ...]

    @property
    def rows(self) -> int:
        return sum(self.shard_rows)

    @property
    def shards(self) -> int:
        return len(self.shard_rows)


class Block:
    """A fixed number of consecutive rows of one shard.

    ``block["distance"]`` is a NumPy array of shape (rows,): int64 columns without missing values as int64, other numbers as
    float64 with NaN where a value is missing, bool without missing values as bool, text as objects with None where missing.
    ``block.batch`` is the Arrow record batch itself; of arrays in this process it may hold float32 as it was given.
    """

    __slots__ = ("batch",)

    def __init__(self, batch: "pa.RecordBatch") -> None:
        self.batch = batch

    @property
    def rows(self) -> int:
        return int(self.batch.num_rows)

    def __getitem__(self, name: str) -> Array:
        position = self.batch.schema.get_field_index(name)
        if position < 0:
            raise CallerError(f"no column {name!r}: this dataset has {', '.join(self.batch.schema.names)}")
        values = np.asarray(self.batch.column(position).to_numpy(zero_copy_only=False))
        return values.astype(np.float64) if values.dtype == np.float32 else values


class Shard:
    """One shard as a program sees it: its index, its rows, its blocks, and a place to keep what it derived from them.

    ``cached`` keeps derived values (an encoded matrix, say) as long as the worker holds the shard and has memory for them: a
    pure function of the shard and the key, so whether it was kept or made again can be seen only in the time it takes.
    """

    __slots__ = ("_cache", "_open", "index", "rows", "shelf")

    def __init__(self, index: int, rows: int, open_blocks: Callable[[], Iterator[Block]], shelf: Shelf | None = None) -> None:
        self.index = index
        self.rows = rows
        self.shelf = shelf or Shelf()
        self._open = open_blocks
        self._cache: dict[str, tuple[Any, int]] = {}

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks, from first row to last; each has BLOCK_ROWS rows but the last."""
        return self._open()

    def cached(self, key: str, make: Callable[[], T]) -> T:
        if key in self._cache:
            value: T = self._cache[key][0]
            return value
        value = make()
        size = size_of(value)
        if self.shelf.take(size):
            self._cache[key] = (value, size)
        return value

    def forget(self, key: str) -> None:
        """Let go of a derived value that is not needed any more."""
        value, size = self._cache.pop(key, (None, 0))
        self.shelf.give(size)
        if isinstance(value, Shard):
            value.forget_all()

    def forget_all(self) -> None:
        """Let go of all derived values."""
        for key in list(self._cache):
            self.forget(key)


@dataclass(frozen=True, slots=True)
class Done:
    """What `update` returns instead of a state when the program has its result."""

    result: Record


@runtime_checkable
class Program(Protocol):
    """What a job computes. Every method is pure: same arguments, same bits, in any process.

    A built-in program lives under ``muskox.`` and travels by name and `parameters`; see :func:`reference`.
    """

    def initial(self, manifest: Manifest) -> Record:
        """Return the state before the first round."""

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        """Return this shard's contribution to the round; a shard may have no rows and so no blocks."""

    def merge(self, left: Record, right: Record) -> Record:
        """Return the contribution of two neighbours in the fixed tree."""

    def update(self, state: Record, total: Record) -> Record | Done:
        """Return the state after the round, or the result. Every worker computes it, so it draws on nothing else."""


@runtime_checkable
class Reports(Protocol):
    """A program that has something to tell about a state: the loss, say. Finite floats by name."""

    def report(self, state: Record) -> Mapping[str, float]: ...


@runtime_checkable
class Adjusts(Protocol):
    """A program some of whose parameters may change while it runs. They live in its state, so that every worker has them.

    A change is made once, to the state after a certain round, and recorded: made again at that round it gives the same bits.
    """

    def adjustable(self) -> Mapping[str, str]:
        """Return what each parameter that may change means, in one line, by name."""

    def adjust(self, state: Record, changes: Mapping[str, float]) -> Record:
        """Return `state` with these values from now on. Pure; CallerError with the rule for a value that cannot be."""


@runtime_checkable
class Reads(Protocol):
    """A program that looks at some columns only: its workers are given no others than those that lie together with them."""

    def reads(self) -> Sequence[str]:
        """Return the columns that :meth:`Program.partial` looks at; none means all."""


@runtime_checkable
class Adds(Protocol):
    """A program whose :meth:`Program.merge` is, in some rounds, nothing but a sum.

    The sum is taken array by array, of records of equal names, shapes and dtypes with at least one axis each, and nothing else
    in them. An engine may then add pieces of the arrays where it likes: each element's sum keeps the order of the fixed tree.
    """

    def adds(self, state: Record) -> bool:
        """Return whether that is so in the round that begins with `state`."""


@runtime_checkable
class Publishes(Protocol):
    """A program whose result also shows outside the cluster: files that a manifest is to name, say.

    Called with the committed result, perhaps more than once, perhaps not at all if a machine dies at that moment: whoever reads
    the result may call it again.
    """

    def publish(self, result: Record) -> None: ...


@runtime_checkable
class Portable(Protocol):
    """A built-in program or task list: found again by its class's name and rebuilt from its parameters."""

    def parameters(self) -> Record: ...

    @classmethod
    def from_parameters(cls, parameters: Record) -> "Program | TaskList": ...


@runtime_checkable
class Composed(Protocol):
    """A program made of others: it travels by name only if they do."""

    @property
    def programs(self) -> "Sequence[Program]": ...


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One finished round as a watcher sees it. `round` counts from 1; `generation` is 0 in process.

    phases : what the engine measured of it, in seconds: "compute" (the slowest worker), "wait" (the root waited for others),
        "reduce", "update", "round" (all of it); and "rows_per_s". An engine may know only some of them
    """

    round: int
    metrics: Mapping[str, float]
    generation: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a program, none of which changes a bit of its result.

    workers : how many workers at most; None means as many as the engine finds sensible
    workers_min : how many there must be at least: with fewer the job waits (clusters only, as are all of the next five)
    cores, memory_bytes, gpus : what each worker takes of its node; memory 0 counts none
    priority : of jobs that do not all fit, the higher runs first; lower ones make room, and go on later
    audit : the share of shard results, from 0 to 1, that is computed a second time elsewhere and compared
    changes : (round, values by parameter) to make after that round: those of an earlier run, to repeat it
    name : register the result as a model of this name (clusters only)
    rounds_max : stop with CallerError("... did not finish") after so many rounds: a program that never ends is a bug
    on_round : called with every round that the watcher sees; may skip rounds
    lineage : what to record beside the model (JSON), not in its digest
    """

    workers: int | None = None
    workers_min: int = 0
    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0
    priority: int = 0
    audit: float = 0.0
    changes: Sequence[tuple[int, Mapping[str, float]]] = ()
    name: str | None = None
    rounds_max: int = 1_000_000
    on_round: Callable[[RoundReport], None] | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)


def run_options(options: RunOptions | None, **given: Any) -> RunOptions:
    """Return `options`, or the usual ones, with those of `given` that are not None in place of theirs."""
    return replace(options or RunOptions(), **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished program left: its result, and how many rounds it took."""

    result: Record
    rounds: int


def check_changes(changes: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Raise CallerError with the rule if there is one among `changes` (of RunOptions) that nobody would ever make."""
    for round_, values in changes:
        if round_ < 1 or not values:
            raise CallerError(
                f"a change gives values to parameters after round 1 or a later one, not {dict(values)} after {round_}"
            )


def adjusted(program: Program, state: Record, changes: Mapping[str, float]) -> Record:
    """Return `state` with `changes` made; see :class:`Adjusts`.

    Raises
    ------
    CallerError
        If the program lets nothing be changed, or not this, or not to this value.
    """
    if not isinstance(program, Adjusts):
        raise CallerError(f"{type(program).__name__} has no parameter that may change while it runs")
    known = program.adjustable()
    for name in changes:
        if name not in known:
            raise CallerError(f"{name} cannot change while this job runs: what can is {', '.join(known) or 'nothing'}")
    return program.adjust(state, changes)


class Engine(Protocol):
    """What runs programs and task lists: in_process, nodes, and later spark, dask, ray. Same work, same dataset, same bits."""

    def run(self, program: "Program | TaskList", dataset: Any, options: RunOptions) -> Outcome: ...


@runtime_checkable
class Runs(Protocol):
    """A dataset that knows its engine: what `fit(dataset, target=...)` accepts, whichever cluster it lies on."""

    @property
    def manifest(self) -> Manifest: ...

    def run(self, program: "Program | TaskList", options: RunOptions) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class ArrayPartition:
    """How arrays in memory are cut into shards: exactly as `put` does it.

    shards : how many
    by : "rows" (contiguous) or "hash:COLUMN"
    """

    shards: int = 1
    by: str = "rows"


def in_process(table: "pa.Table", partition: ArrayPartition) -> Runs:
    """Return `table`, cut by `partition`, as a dataset whose engine is this process."""
    import muskox  # the package that knows every room: this file knows none

    dataset: Runs = muskox.in_process_dataset(table, partition)
    return dataset


@runtime_checkable
class Carries(Protocol):
    """A built-in program that may carry objects of a user's, of classes that only the user's process knows."""

    def carried(self) -> Sequence[object]:
        """Return these objects, and what else to know of their classes; with none it is as portable as any."""


def needs_pins(program: object) -> bool:
    """Return whether `program`, or one that it is made of, computes what is the same everywhere only in a pinned process."""
    if isinstance(program, Composed):
        return any(map(needs_pins, program.programs))
    return bool(getattr(program, "pinned", False))


def is_portable(program: object) -> TypeGuard[Portable]:
    """Return whether `program` is one of muskox's own, and made of such."""
    if not isinstance(program, Portable) or not type(program).__module__.startswith("muskox."):
        return False
    if isinstance(program, Carries) and program.carried():
        return False
    return not isinstance(program, Composed) or all(map(is_portable, program.programs))


def reference(program: Portable) -> Record:
    """Return what another process needs to rebuild a built-in `program`; see :func:`is_portable`."""
    kind = type(program)
    return {"program": f"{kind.__module__}:{kind.__qualname__}", "parameters": program.parameters()}


def resolve(record: Mapping[str, Any]) -> "Program | TaskList":
    """Return the built-in program or task list that :func:`reference` described.

    Raises
    ------
    CallerError
        If it names anything outside muskox, or nothing.
    """
    from importlib import import_module

    name = str(record.get("program"))
    module, _, qualname = name.partition(":")
    if not module.startswith("muskox."):
        raise CallerError(f"{name!r} is not a program of muskox")
    try:
        kind = getattr(import_module(module), qualname)
    except (ImportError, AttributeError) as error:
        raise CallerError(f"this version of muskox has no program {name!r}") from error
    if not (isinstance(kind, type) and hasattr(kind, "from_parameters")):
        raise CallerError(f"{name!r} is not a program")
    try:
        program: Program | TaskList = kind.from_parameters(record["parameters"])
    except (KeyError, TypeError) as error:
        raise CallerError(f"these are no parameters of {name!r}: {type(error).__name__}: {error}") from error
    return program
