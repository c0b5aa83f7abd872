"""The table of commands: which exist, in which order and under which heading ``muskox --help`` lists them.

A command's own file knows what it does; this one only knows names.
"""

import typer

from muskox.cli import node

CLUSTER = "Cluster"

app = typer.Typer(
    name="muskox",
    help="Distributed machine learning that nothing can stop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _muskox() -> None:
    """Distributed machine learning that nothing can stop: kill any process, get the same model, bit for bit."""


app.command("node", rich_help_panel=CLUSTER)(node.node)
app.command("keeper", rich_help_panel=CLUSTER)(node.keeper)
