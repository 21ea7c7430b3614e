"""What tests/bench/peers.py has pyinfra do: its operations to fetch and check; the shell for what it has none for."""

import shlex

from pyinfra import host
from pyinfra.operations import files, server

work, destination = host.data.work, host.data.destination

files.directory(name="A folder for the revision", path=work)
files.download(
    name="Fetch the bundle and check its digest",
    src=host.data.url,
    dest=f"{work}/bundle.tgz",
    sha256sum=host.data.sha256,
)
server.shell(name="Unpack it", commands=[shlex.join(["tar", "xzf", f"{work}/bundle.tgz", "-C", work])])
server.shell(name="Install the files", commands=[f"mkdir -p {destination} && cp -r {work}/files/. {destination}/"])
server.shell(name="Run the scripts", commands=[f"{work}/scripts/{script}.sh" for script in host.data.scripts])
