"""The table of commands: which exist, in which order, under which heading ``muskox --help`` lists them, and their examples.

What a command does stands in its own file.
"""

from collections.abc import Callable
from typing import Any

import typer

from muskox.cli import (
    clusters,
    datasets,
    importance,
    jobs,
    keeper,
    models,
    node,
    nodes,
    putting,
    searching,
    settings,
    sharing,
    training,
)
from muskox.cli.demo import demo
from muskox.cli.estimators import KINDS
from muskox.cli.options import ConfigGroup, NodeGroup
from muskox.cli.zk_shell import EXAMPLES as ZK_EXAMPLES
from muskox.cli.zk_shell import zk
from muskox.keeper import EXAMPLES

CLUSTER, DATA, TRAINING, MODELS, START = "Cluster", "Datasets", "Training", "Models", "Start here"

STYLE: dict[str, Any] = {"no_args_is_help": True, "add_completion": False, "rich_markup_mode": "rich"}

app = typer.Typer(
    name="muskox",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="muskox up && muskox put flights flights.csv && muskox train logistic flights --target late --name late",
    **STYLE,
)


@app.callback()
def _muskox(
    debug: bool = typer.Option(False, "--debug", help="show where an error came from, with any command"),
) -> None:
    """Distributed machine learning that nothing can stop: kill any process, get the same model, bit for bit."""


def add(
    to: typer.Typer, name: str, command: Callable[..., None], heading: str, *examples: str, takes_words: bool = False
) -> None:
    """Add a command; `examples` end its help, a line each. One that `takes_words` reads what follows its first word itself."""
    epilog = "\n\n".join(["Examples:", *examples]) if examples else None
    settings = {"allow_interspersed_args": False} if takes_words else None
    to.command(name, rich_help_panel=heading, epilog=epilog, context_settings=settings)(command)


add(app, "demo", demo, START, "muskox demo", "muskox demo --you-kill")

add(
    app,
    "up",
    clusters.up,
    CLUSTER,
    "muskox up",
    "muskox up --nodes 5 --dir /data/muskox",
    "muskox up --zk zk://zk1:2181/muskox",
    "muskox up --store s3://bucket/prefix",
)
add(app, "down", clusters.down, CLUSTER, "muskox down")
add(app, "status", clusters.status, CLUSTER, "muskox status", "muskox status --json")
add(app, "logs", clusters.logs, CLUSTER, "muskox logs", "muskox logs node-2 -n 20", "muskox logs rounds-1da5e4e3")

node_commands = typer.Typer(
    help="Run a node, list the nodes, or empty one. Without a command's name, `run` is meant.",
    cls=NodeGroup,
    epilog="\n\n".join(["Examples:", "muskox node --zk zk://zk1:2181/muskox --secret-file secret", "muskox node run --help"]),
    **{**STYLE, "no_args_is_help": False},
)
add(
    node_commands,
    "run",
    node.run,
    "Commands",
    "muskox node run --zk zk://zk1:2181/muskox --secret-file secret --host 10.0.0.7 --rack a --tls-cert ...",
)
add(node_commands, "list", nodes.list_nodes, "Commands", "muskox node list", "muskox node list --json")
add(
    node_commands,
    "drain",
    nodes.drain,
    "Commands",
    "muskox node drain node-2 --wait",
    "muskox node drain node-2 --undo",
)
app.add_typer(node_commands, name="node", rich_help_panel=CLUSTER)

servers = typer.Typer(
    help="Serve as ZooKeeper does, or look at its files. Without a command's name, `serve` is meant.",
    cls=keeper.KeeperGroup,
    epilog="\n\n".join(["Examples:", *EXAMPLES, "muskox keeper serve --help"]),
    **{**STYLE, "no_args_is_help": False},
)
add(servers, "serve", keeper.make_serve(), "Commands", *EXAMPLES, "muskox keeper serve zoo.cfg")
add(servers, "check", keeper.check, "Commands", "muskox keeper check keeper", "muskox keeper check /var/lib/zookeeper --json")
add(
    servers,
    "dump",
    keeper.dump,
    "Commands",
    "muskox keeper dump keeper/version-2/log.1",
    "muskox keeper dump /var/lib/zookeeper --json",
)
add(servers, "repair", keeper.repair, "Commands", "muskox keeper repair keeper --truncate-at 0x1f")
add(servers, "handover", keeper.handover, "Commands", "muskox keeper handover keeper --client-port 2181")
shell = [f"muskox keeper shell {example}" for example in ZK_EXAMPLES]
add(servers, "shell", zk, "Commands", *shell, takes_words=True)
app.add_typer(servers, name="keeper", rich_help_panel=CLUSTER)
add(app, "zk", zk, CLUSTER, *(f"muskox zk {example}" for example in ZK_EXAMPLES), takes_words=True)

config = typer.Typer(
    help="Live settings of the cluster, or parameters of a running job. Without a command's name, `show` is meant.",
    cls=ConfigGroup,
    epilog="\n\n".join(["Examples:", "muskox config", "muskox config replicas=3", "muskox config --job ID learning_rate=0.05"]),
    **{**STYLE, "no_args_is_help": False},
)
add(config, "show", settings.show, "Commands", "muskox config show", "muskox config show replicas=3 silence_s=5")
add(config, "get", settings.get, "Commands", "muskox config get", "muskox config get replicas", "muskox config get --job ID")
add(
    config,
    "set",
    settings.set_,
    "Commands",
    "muskox config set checkpoint_interval_s 2",
    "muskox config set max_rounds 500 --job ID",
)
app.add_typer(config, name="config", rich_help_panel=CLUSTER)

add(
    app,
    "put",
    putting.put,
    DATA,
    "muskox put flights flights.csv",
    "muskox put flights 2012.csv 2013.csv --shards 24 --by hash:tailnum --replicas 3",
    "muskox put flights flights.csv --groups 'plane:tailnum,carrier; rest:*'",
    "muskox put flights 2014.csv --append",
    "zcat old.csv.gz | muskox put old - --delimiter ';' --no-header --missing - --type x0=string",
)
add(
    app,
    "register",
    putting.register,
    DATA,
    "muskox register rides s3://bucket/rides/",
    "muskox register rides file:///data/rides --shards 64 --digest content",
)
add(
    app,
    "datasets",
    datasets.datasets,
    DATA,
    "muskox datasets",
    "muskox datasets flights@2 --shards",
    "muskox datasets verify flights",
    "muskox datasets flights --check --target late --key tailnum,time_hour --against flights-test",
)
add(app, "diff", datasets.diff, DATA, "muskox diff flights@1 flights@2", "muskox diff flights@1 flights --json")
add(app, "rm", datasets.rm, DATA, "muskox rm flights", "muskox rm flights@1 --yes")

add(app, "token", sharing.token, DATA, "muskox token", "muskox token --json")
add(app, "grant", sharing.grant, DATA, "muskox grant flights ann", "muskox grant flights ann --password-file ann.txt")
add(app, "revoke", sharing.revoke, DATA, "muskox revoke flights ann")

train = typer.Typer(
    help="Train a model on a dataset. `muskox train ESTIMATOR --help` lists its parameters with their defaults.",
    cls=training.TrainGroup,
    **STYLE,
)
for kind in KINDS.values():
    train.command(
        kind.word,
        cls=training.TrainCommand,
        short_help=f"{kind.what}: {', '.join(kind.classes.values())}",
        rich_help_panel="Estimators",
        epilog="\n\n".join(["Examples:", *training.examples(kind)]),
    )(training.command(kind))
app.add_typer(train, name="train", rich_help_panel=TRAINING)
add(
    app,
    "search",
    searching.search,
    TRAINING,
    "muskox search logistic flights --target late --try C=0.01,0.1,1,10 --name late",
    "muskox search forest flights --target late --try max_depth=4,8,16 --try n_estimators=50,200 --scoring auc",
    "muskox search boosting flights --target late --try 'learning_rate=loguniform(0.01,0.3)' --random 20 --strategy tasks",
)
add(app, "jobs", jobs.jobs, TRAINING, "muskox jobs", "muskox jobs rounds-1da5e4e3 --follow")
add(app, "cancel", jobs.cancel, TRAINING, "muskox cancel rounds-1da5e4e3")

add(app, "models", models.models, MODELS, "muskox models", "muskox models late --json", "muskox models verify late")
add(app, "evaluate", models.evaluate, MODELS, "muskox evaluate late flights-test")
add(
    app,
    "importance",
    importance.importance,
    MODELS,
    "muskox importance late flights-test",
    "muskox importance late flights-test --scoring auc --repeats 10 --coefficients",
)
add(app, "predict", models.predict, MODELS, "muskox predict late flights-test --output predictions --columns tailnum,time_hour")
add(app, "serve", models.serve, MODELS, "muskox serve late --port 8000")
