"""The command that runs the simulated phone network."""

import re

import click

from interfaces.bootstrap.simulator import NetworkOptions
from interfaces.commands.common import json_option
from interfaces.commands.output import show_json
from interfaces.config.settings import ADDRESS, SIMULATOR, from_environment
from interfaces.processes.parent_watch import end_with_parent
from interfaces.processes.simulator import listen, simulate
from interfaces.processes.sockets import adopt


class _Address(click.ParamType[str]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(ADDRESS, value):
            self.fail(f"{value!r} is neither an address such as {SIMULATOR} nor the path of a socket", param, ctx)
        return value


@click.command()
@click.option(
    "--address", type=_Address(), default=SIMULATOR, show_default=True, help="HOST:PORT, or the path of a Unix socket."
)
@click.option("--calls", type=click.IntRange(1), help="Highest number of calls at the same time; unlimited by default.")
@click.option(
    "--calls-per-second",
    type=click.FloatRange(0, min_open=True),
    help="Highest number of new calls a second; unlimited by default.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random decisions.")
@click.option("--socket", "descriptor", type=int, hidden=True, help="A listening socket that is open already.")
@click.option("--attached", is_flag=True, hidden=True, help="End when standard input ends.")
@json_option
def simulator(
    address: str,
    calls: int | None,
    calls_per_second: float | None,
    seed: int,
    descriptor: int | None,
    *,
    attached: bool,
    as_json: bool,
) -> None:
    """Run a phone network in which no phone rings.

    Workers dial it when PEREZVON_GATEWAY is `simulated`, at PEREZVON_SIMULATOR_ADDRESS. Print `ready ADDRESS` when it
    listens. SIGTERM stops it; its state is lost.

    The thousands digit of a number (1001, +77010001001) decides the outcome: 1 answers, 2 is busy, 3 does not answer, 4
    rejects, 5 is an unknown number, 6 meets congestion, 7 answers and hangs up while B rings, 8 is busy at first and
    answers later, 9 and 0 are random. PEREZVON_SIMULATED_SPEED divides all durations.

    \b
    Examples:
      perezvon simulator
      PEREZVON_SIMULATED_SPEED=20 perezvon simulator --calls 100 --calls-per-second 10
      perezvon simulator --address ./switch.sock
    """
    if attached:
        end_with_parent()
    options = NetworkOptions(
        seed=seed, speed=from_environment().simulated_speed, calls=calls, calls_per_second=calls_per_second
    )
    if descriptor is not None:  # the parent process opened the socket and knows its address
        simulate(options, adopt(descriptor), lambda: None)
        return
    listener, reachable_at = listen(address)

    def announce() -> None:
        if as_json:
            show_json({"ready": reachable_at})
        else:
            click.echo(f"ready {reachable_at}")

    simulate(options, listener, announce)
