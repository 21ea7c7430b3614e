"""The story of the demo: a good rollout, a bad one that is taken back, and one by CodeDeploy's API."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from examples.demo.ci_job import redeploy
from examples.demo.site import INSTANCES, DemoFailed, Site, is_terminal, site
from examples.demo.watching import NOBODY, Sample, Watch, fewest_answers, strips

COLOURS = {"1": "green", "2": "magenta", NOBODY: "red"}
FLOOR = 9


def main() -> int:
    """Tells the story; 0 when it went as it should, 130 when a person ended it early."""
    options = argparse.ArgumentParser(prog="make demo", description=__doc__)
    options.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    keep = options.parse_args().keep
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if not sys.platform.startswith("linux"):
            raise DemoFailed("the demo needs Linux: its instances are hosts in small, and towline's hosts are Linux.")
        _tell(keep)
    except KeyboardInterrupt:
        say("\nEnded early. Nothing is left running.")
        return 130
    except DemoFailed as error:
        say(click.style(f"The demo failed: {error}", fg="red"))
        return 1
    say("Nothing is left running.")
    return 0


def _tell(keep: bool) -> None:
    begun = time.monotonic()
    say("Starting a Temporal server, its Web UI and a worker ...")
    with site() as here:
        say(f"Web UI   {here.web_ui}   (look in while it goes on)")
        declare(here)
        good_rollout(here)
        bad_rollout(here)
        ci_job(here)
        records(here)
        closing(here, keep, time.monotonic() - begun)
        if keep:
            _stay(here)


def declare(here: Site) -> None:
    """What exists is said in one file."""
    chapter("1", "Declare twelve instances and the group that they make up")
    note("They are twelve folders on this machine, each a host in small. At least nine must stay in service.")
    run(here, 0, "apply", "-f", "towline.yaml", "--yes")


def good_rollout(here: Site) -> None:
    """Release 1.0 goes out."""
    chapter("2", "A good rollout: shop 1.0, three instances at a time")
    note("Hooks stop, start and validate a small web server on each instance.")
    watched_rollout(here, 0, "rollout-1", "shop-1.0")
    expect_everywhere(here, "1.0")


def bad_rollout(here: Site) -> None:
    """Release 2.0 needs what only half of the hosts have."""
    chapter("3", "A bad rollout: shop 2.0 needs a setting that nobody gave to web-07 and later")
    note("It begins well. When the health rule can no longer be kept, it fails, and what was touched goes back.")
    samples = watched_rollout(here, 1, "rollout-2", "shop-2.0")
    expect_everywhere(here, "1.0")
    fewest = fewest_answers(samples)
    if fewest < FLOOR:
        raise DemoFailed(f"only {fewest} of {len(INSTANCES)} instances answered at some moment; {FLOOR} should.")
    say(f"\nAt every moment at least {fewest} of {len(INSTANCES)} answered, through failure and rollback.")


def ci_job(here: Site) -> None:
    """Shop 1.0 once more, as a job that calls AWS CodeDeploy today would deploy it."""
    chapter("4", "The same from a CI job: CodeDeploy's API, called by boto3 (the AWS CLI's commands are shown)")
    redeploy(here.api, "rollout-1", lambda command: say(click.style(f"$ {command}", bold=True)))
    expect_everywhere(here, "1.0")


def records(here: Site) -> None:
    """What is remembered of it."""
    chapter("5", "Look back")
    run(here, 0, "list")
    run(here, 0, "report", "rollout-2", "--html", here.report.name)


def closing(here: Site, keep: bool, seconds: float) -> None:
    """Where to look now, and what to do next."""
    chapter("✓", f"That was all, in {seconds:.0f} s")
    stays = "Ctrl-C ends it" if keep else "it ends now; to look around: make demo KEEP=1"
    say(f"Web UI   {here.web_ui}   ({stays})")
    say(f"Report   {here.report}   (a page for the browser, kept)")
    if keep:
        first, last = here.ports[INSTANCES[0]], here.ports[INSTANCES[-1]]
        say(f"Shops    http://127.0.0.1:{first} … {last}   ({INSTANCES[0]} … {INSTANCES[-1]})")
        say(f"Folder   {here.folder}")
        say("Commands in another terminal, in that folder:")
        say(f"         export AWS_ENDPOINT_URL_CODEDEPLOY={here.api} AWS_REGION=eu-west-1")
        say("         aws --no-sign-request deploy list-deployments")
        say(f"         export TEMPORAL_ADDRESS={here.environ['TEMPORAL_ADDRESS']} TOWLINE_UI={here.web_ui}")
        say(f"         {shlex.quote(towline_command())} status rollout-2")
    say("Next     your own hosts, over SSH, in five steps: docs/getting-started.md")


def watched_rollout(here: Site, status: int, deployment_id: str, bundle: str) -> Sequence[Sample]:
    """Deploys while every instance is asked what it runs, shows what they answered, and returns it."""
    with Watch(here.ports) as watch:
        begun = time.monotonic()
        run(here, status, "deploy", "shop", "production", "--revision", bundle, "--id", deployment_id)
        seconds = time.monotonic() - begun
    say(f"\nWhat the web servers answered meanwhile, asked over HTTP {len(watch.samples)} times in {seconds:.0f} s")
    say(f"(1 is shop 1.0, 2 is shop 2.0, {NOBODY} no answer):")
    for name, strip in strips(watch.samples, paint).items():
        say(f"  {name}  {strip}")
    return watch.samples


def expect_everywhere(here: Site, release: str) -> None:
    """Raises DemoFailed unless every instance answers with this release now."""
    found = Watch(here.ports).now()
    other = {name: said or "no answer" for name, said in found.items() if said != release}
    if other:
        raise DemoFailed(f"shop {release} should run everywhere, but: {other}")
    say(f"All {len(found)} answer: shop {release}.")


def run(here: Site, status: int, *words: str) -> None:
    """Shows a command and runs it. Raises DemoFailed where it ends with another status than it should."""
    say(click.style(f"\n$ towline {shlex.join(words)}", bold=True))
    ended = here.towline(*words)
    if ended != status:
        raise DemoFailed(f"`towline {shlex.join(words)}` ended with status {ended}, not {status}.")


def chapter(number: str, text: str) -> None:
    """A heading."""
    say(click.style(f"\n── {number}  {text} ", fg="cyan", bold=True))


def note(text: str) -> None:
    """What the reader should know before it happens."""
    say(click.style(text, dim=True))


def paint(mark: str) -> str:
    """A mark of the strips in its colour."""
    return click.style(mark, fg=COLOURS.get(mark)) if is_terminal(sys.stdout) else mark


def say(text: str) -> None:
    """Prints at once: the commands between write to the same terminal or file."""
    click.echo(text, color=is_terminal(sys.stdout))
    sys.stdout.flush()


def towline_command() -> str:
    """The installed command, beside this Python."""
    return str(Path(sys.executable).parent / "towline")


def _stay(here: Site) -> None:
    """Until Ctrl-C, which is the end that was asked for. Raises DemoFailed where server or worker end by themselves."""
    try:
        while not here.ended():
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("")
        return
    raise DemoFailed("the Temporal server or the worker ended.")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Temporal's library was loaded; its threads must not decide the exit status.
    os._exit(status)
