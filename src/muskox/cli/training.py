"""``muskox train ESTIMATOR``: submit the training of a model, and follow it unless asked not to."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from muskox.cli import estimators, screen
from muskox.cli.estimators import REGRESSION, Kind, TaskOf
from muskox.cli.jobs import require_done, watch
from muskox.cli.models import show_model
from muskox.cli.options import (
    Audit,
    Cores,
    Dataset,
    Dir,
    Features,
    Gpus,
    Json,
    Memory,
    Priority,
    SecretFile,
    Target,
    Weight,
    WorkersSpan,
    Zk,
    connected,
    names,
    share,
    size,
    span,
)
from muskox.cli.putting import pairs

ModelName = Annotated[str, typer.Option("--name", metavar="MODEL", help="what the model shall be called")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a parameter; they are listed below")]
Validation = Annotated[str | None, typer.Option(metavar="COLUMN", help="a bool column: true rows are held out")]
Detach = Annotated[bool, typer.Option("--detach", help="submit, print the job's id, and leave")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Python; build(inputs, outputs) returns a torch.nn.Module")]

FILE_MARK = "torch:"
EXAMPLES = {  # beside the plain one
    "logistic": "--features carrier,origin --set C=0.5 --set max_rounds=200",
    "svm": "--set loss=hinge --set C=0.1",
    "sgd": "--set batch_size=256 --set learning_rate=adaptive",
    "forest": "--set n_estimators=200 --set strategy=shards --workers 2:8",
    "boosting": "--set learning_rate=0.05 --validation held_out",
    "kmeans": "--features distance,hour --set n_clusters=12",
    "mlp": "--set hidden_layer_sizes=[64,32] --weight rows",
}


class TrainGroup(TyperGroup):
    """One command an estimator; ``torch:FILE`` is the command `torch` with its file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith(FILE_MARK):
            args = [FILE_MARK[:-1], args[0].removeprefix(FILE_MARK), *args[1:]]
        return super().parse_args(ctx, args)


class TrainCommand(TyperCommand):
    """A training, whose help also lists the estimator's parameters."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        kind = estimators.KINDS[str(self.name)]
        for task, name in kind.classes.items():
            found = estimators.parameters(estimators.estimator_class(name))
            of = f", for {task}" if len(kind.classes) > 1 else ""
            screen.say(f"\n --set KEY=VALUE: parameters of {name}{of}")
            screen.print_table(("parameter", "default", "meaning"), found, (), empty="it has none")


def examples(kind: Kind) -> list[str]:
    """Return command lines that train what `kind` is."""
    word = f"{FILE_MARK}net.py" if kind.word == FILE_MARK[:-1] else kind.word
    told = f" --target {'delay' if list(kind.classes) == [REGRESSION] else 'late'}" if kind.has_target else ""
    plain = f"muskox train {word} flights{told} --name {kind.word}"
    return [plain, *([f"{plain} {EXAMPLES[kind.word]}"] if kind.word in EXAMPLES else [])]


def command(kind: Kind) -> Callable[..., None]:
    """Return what ``muskox train`` does for one word."""

    def train(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
        dataset: Dataset,
        name: ModelName,
        target: Target = None,
        features: Features = None,
        settings: Settings = None,
        weight: Weight = None,
        validation: Validation = None,
        task: TaskOf = None,
        workers: WorkersSpan = None,
        detach: Detach = False,
        cores: Cores = 1.0,
        memory: Memory = "0",
        gpus: Gpus = 0,
        priority: Priority = 0,
        audit: Audit = "0",
        json_: Json = False,
        dir_: Dir = None,
        zk: Zk = None,
        secret_file: SecretFile = None,
    ) -> None:
        given = pairs(settings or [], "--set")
        kind.require_target(target)
        estimators.check(kind, given)
        from muskox.program import RunOptions

        least, most = span(workers)
        asks: dict[str, Any] = {
            "workers_min": least,
            "cores": cores,
            "memory_bytes": size(memory),
            "gpus": gpus,
            "priority": priority,
        }
        options = RunOptions(workers=most, name=name, audit=share(audit), **asks)
        with connected(dir_, zk, secret_file) as cluster:
            opened = cluster.dataset(dataset)
            column_type = opened.manifest.columns.get(target, "") if target is not None else ""
            estimator = estimators.make(kind.class_name(task, column_type), given)
            job_id = cluster.submit(
                estimator,
                opened,
                target,
                name=name,
                features=names(features),
                weight=weight,
                validation=validation,
                options=options,
            )
            record = cluster.job(job_id)
            if detach:
                if json_:
                    screen.print_json(record)
                else:
                    screen.say(f"submitted {job_id}; `muskox jobs {job_id} --follow` follows it")
                return
            record = watch(cluster, record, json_=False, rounds_max=getattr(estimator, "max_rounds", None))
            require_done(record)
            view = cluster.model_info(name)
        screen.print_json(view) if json_ else show_model(view)

    train.__doc__ = f"Train {kind.what}.\n\nOnce submitted it needs no client: Ctrl-C only detaches."
    return with_file(train) if kind.word == FILE_MARK[:-1] else train


def with_file(train: Callable[..., None]) -> Callable[..., None]:
    """Return the command that takes, before all else, a file with a module, whose text becomes a parameter."""
    import inspect
    from functools import wraps

    @wraps(train)
    def train_file(file: Path, settings: list[str] | None = None, **given: Any) -> None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"cannot read {file}: {error}") from error
        train(settings=[*(settings or []), f"source={text}"], **given)

    signature = inspect.signature(train)
    first = inspect.Parameter("file", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=File)
    train_file.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])  # type: ignore[attr-defined]
    return train_file
