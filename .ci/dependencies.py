#!/usr/bin/env python3
"""Checks what SiltDB is made of by the rules of deny.toml: every dependency that ends up in a binary has a
licence that allows it and comes from an allowed registry, of some crates there is one version, and some are not there
at all. Reads `cargo metadata`."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

RULES = tomllib.loads((pathlib.Path(__file__).parent.parent / "deny.toml").read_text())
ALLOWED = set(RULES["licenses"]["allow"])
ONCE = [ban["crate"] for ban in RULES["bans"]["deny"] if ban.get("deny-multiple-versions")]
NEVER = {ban["crate"] for ban in RULES["bans"]["deny"] if not ban.get("deny-multiple-versions")}
REGISTRIES = {f"registry+{url}" for url in RULES["sources"]["allow-registry"]}


def is_allowed(expression):
    """Evaluates an SPDX expression; `/` is the old way to write OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def any_of():
        value = all_of()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = all_of() or value
        return value

    def all_of():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        token = tokens.pop(0)
        if token == "(":
            value = any_of()
            tokens.pop(0)
            return value
        if len(tokens) > 1 and tokens[0] == "WITH":
            token = f"{token} WITH {tokens[1]}"
            del tokens[:2]
        return token in ALLOWED

    return any_of() and not tokens


def main():
    assert is_allowed("MIT OR GPL-3.0") and is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0") and is_allowed("MIT/ISC")
    assert not is_allowed("AGPL-3.0") and not is_allowed("MIT AND GPL-3.0")
    output = subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, stdout=subprocess.PIPE)
    metadata = json.loads(output.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    used = [packages[node["id"]] for node in metadata["resolve"]["nodes"]]
    faults = []
    for package in used:
        licence = package["license"]
        if not licence or not is_allowed(licence):
            faults.append(f"{package['name']} {package['version']}: licence {licence or 'not named'}")
        # Those of this workspace have no source.
        if package["source"] not in {None, *REGISTRIES}:
            faults.append(f"{package['name']} {package['version']}: from {package['source']}")
        if package["name"] in NEVER:
            faults.append(f"{package['name']} {package['version']}: must not be part of it")
    for name in ONCE:
        versions = sorted({package["version"] for package in used if package["name"] == name})
        if len(versions) != 1:
            faults.append(f"{name}: versions {', '.join(versions) or 'none'} instead of one")
    for fault in faults:
        print(f"dependencies: {fault}", file=sys.stderr)
    print(f"dependencies: {len(used)} packages, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
