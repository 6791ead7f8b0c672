"""Mutated packets against every parser of foreign bytes: xsens, xsens_tcp, natnet, pico, network, vmc, captures (tap).

Checked of every packet: nothing but ProtocolError escapes the wire module, nothing at all escapes the source or
`teleop decode`, and reading costs at most 5 ms of CPU time (a suspect is measured five times, the best counts) and
10 MB (of suspects and a sample). The same seed gives the same packets. Exit status 1 when something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "fuzzing"))

import corpus
from engine import Finding, Fuzzer, Tally
from targets import TARGETS


def main() -> int:
    """Fuzz the protocols asked for and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", default="all", choices=["all", *TARGETS], help="which parser (default: all)")
    parser.add_argument("--packets", type=int, default=100_000, help="mutated packets a protocol (default: 100000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most so long a protocol [s]")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same packets (default: 0)")
    parser.add_argument("--corpus", type=Path, default=corpus.FOLDER, help="folder of stored inputs to begin from")
    parser.add_argument("--update", action="store_true", help="store inputs that take new steps in the corpus folder")
    parser.add_argument("--findings", type=Path, default=Path("out/fuzz"), help="folder for what breaks something")
    parser.add_argument("--json", action="store_true", help="one JSON line a protocol")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")  # a packet may not fill the log either
    names = list(TARGETS) if arguments.protocol == "all" else [arguments.protocol]
    return max([fuzz(name, arguments) for name in names])


def fuzz(name: str, arguments: argparse.Namespace) -> int:
    """One protocol; 1 when something was found."""
    target = TARGETS[name]
    start = time.monotonic()
    seeds = target.seeds()
    stored = list(dict.fromkeys(seeds + corpus.load(name, arguments.corpus)))
    fuzzer = Fuzzer(target, stored, arguments.seed)
    fuzzer.replay()
    tally = fuzzer.run(arguments.packets, arguments.seconds)
    if arguments.update:
        corpus.store(name, corpus.chosen(target, seeds, stored + tally.kept), arguments.corpus)
    report(name, tally, time.monotonic() - start, arguments)
    for finding in tally.findings:
        print(f"  FOUND in {finding.stage}: {finding.sentence}\n  kept in {keep(finding, arguments.findings)}")
    return int(bool(tally.findings))


def report(name: str, tally: Tally, took_s: float, arguments: argparse.Namespace) -> None:
    """What one protocol's run did, as a line."""
    facts = {
        "protocol": name, "seed": arguments.seed, "packets": tally.packets, "read": tally.read,
        "refused": sum(tally.rejected.values()), "reasons": len(tally.rejected), "steps": len(tally.arcs),
        "new_inputs": len(tally.kept), "slowest_ms": round(tally.slowest_ns / 1e6, 3),
        "largest_kB": round(tally.largest / 1e3, 1), "findings": len(tally.findings), "took_s": round(took_s, 1),
    }  # fmt: skip
    print(json.dumps(facts) if arguments.json else "  ".join(f"{key} {value}" for key, value in facts.items()))
    sys.stdout.flush()


def keep(finding: Finding, folder: Path) -> Path:
    """Store the input, or the inputs that together do it, as `teleop decode` reads them."""
    digest = hashlib.sha256(b"".join(finding.inputs)).hexdigest()[:12]
    return corpus.store(f"{finding.protocol}-{finding.stage}-{digest}", list(finding.inputs), folder)


if __name__ == "__main__":
    sys.exit(main())
