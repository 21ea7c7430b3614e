"""What towline is measured against: plain asyncssh doing the same by hand, with one exec per host.

    python -m tests.bench.plain_asyncssh [-n HOSTS] [--rounds R]

Each host pulls the bundle, checks its digest, unpacks it, copies the files and runs the five hooks. There is no
journal, no lock, no retry, no report, no order: whoever does this by hand has none either. The time is that of a whole
Python process, from its start to its end, as it is for `towline deploy`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import subprocess
import sys
import time

from tests.bench.bundle import DESTINATION, HOOKS, make_bundle
from tests.bench.s3 import put, s3_process
from tests.harness.fleet.box import Fleet

WORK = f"""set -e
d=$(mktemp -d /opt/plain.XXXXXX); cd $d
curl -fsS "$URL" -o bundle.tgz
echo "$SHA256  bundle.tgz" | sha256sum -c --quiet
tar xzf bundle.tgz
mkdir -p {DESTINATION}
cp -r files/. {DESTINATION}/
for event in {" ".join(HOOKS)}; do ./scripts/$event.sh; done
"""


def by_hand(fleet: Fleet, url: str, sha256: str) -> float:
    """Seconds for the whole fleet at once; raises where a host fails."""
    hosts = [host.address for host in fleet]
    job = {"hosts": hosts, "key": str(fleet.key), "known_hosts": str(fleet.known_hosts), "url": url, "sha256": sha256}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tests.bench.plain_asyncssh", "--job"], input=json.dumps(job).encode(), check=True
    )
    return time.perf_counter() - began


async def deploy(job: dict[str, object]) -> None:
    """The deployment by hand."""
    import asyncssh

    async def one(host: str) -> None:
        async with asyncssh.connect(
            host, username="root", config=None, client_keys=[str(job["key"])], known_hosts=str(job["known_hosts"])
        ) as connection:
            await connection.run(f"URL='{job['url']}'; SHA256={job['sha256']}; {WORK}", check=True)

    hosts = job["hosts"]
    assert isinstance(hosts, list)
    await asyncio.gather(*(one(host) for host in hosts))


def main() -> None:
    """Measures by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", type=int, default=20, help="hosts (default 20)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        asyncio.run(deploy(json.load(sys.stdin)))
        return
    bundle = make_bundle()
    with Fleet(options.n) as fleet, s3_process(f"10.213.{fleet.number}.1"):
        url, sha256 = put("bundle.tgz", bundle), hashlib.sha256(bundle).hexdigest()
        times = [by_hand(fleet, url, sha256) for _ in range(options.rounds)]
    print(f"plain asyncssh, {options.n} hosts at once: median {statistics.median(times):.2f} s of {_list(times)}")


def _list(times: list[float]) -> str:
    return ", ".join(f"{seconds:.2f}" for seconds in times)


if __name__ == "__main__":
    main()
