"""Start and stop a lab by hand or from molecule: python -m tests.lab up --hosts 3 --postgres --state FOLDER."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import hosts, image, wheels
from .shell import CommandFailed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start hosts, write FOLDER/inventory.yml")
    up.add_argument("--hosts", type=int, default=1)
    up.add_argument("--postgres", action="store_true", help="start a database server on the same network")
    up.add_argument("--systemd", action="store_true", help="let systemd run the hosts, as on a server")
    down = verbs.add_parser("down", help="remove exactly what up started")
    unplug = verbs.add_parser("unplug", help="take a host off the network; what runs on it goes on")
    plug = verbs.add_parser("plug", help="put it back")
    for verb in (unplug, plug):
        verb.add_argument("host")
    execute = verbs.add_parser("exec", help="run a command on a host, without its network")
    execute.add_argument("host")
    for verb in (up, down, unplug, plug, execute):
        verb.add_argument("--state", type=Path, required=True, metavar="FOLDER", help="where the lab keeps its files")
    execute.add_argument("words", nargs="+", metavar="WORD")
    verbs.add_parser("image", help="build the image of the hosts, if need be, and print its name")
    wheelhouse = verbs.add_parser("wheels", help="download wheels for the hosts and print the folder")
    wheelhouse.add_argument("requirements", type=Path)
    wheelhouse.add_argument("--link", type=Path, help="make this a link to the folder")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    try:
        if arguments.verb == "up":
            lab = hosts.up(
                arguments.state, hosts=arguments.hosts, postgres=arguments.postgres, systemd=arguments.systemd
            )
            print(lab.inventory)
        elif arguments.verb == "down":
            hosts.down(arguments.state.resolve())
        elif arguments.verb == "unplug":
            hosts.unplug(arguments.state, arguments.host)
        elif arguments.verb == "plug":
            hosts.plug(arguments.state, arguments.host)
        elif arguments.verb == "exec":
            print(hosts.running_lab(arguments.state).execute(arguments.host, *arguments.words))
        elif arguments.verb == "image":
            print(image.ensure())
        else:
            folder = wheels.wheelhouse(arguments.requirements)
            if arguments.link:
                arguments.link.unlink(missing_ok=True)
                arguments.link.symlink_to(folder)
            print(folder)
    except CommandFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
