"""Prints the SBOM of a target's binary as CycloneDX 1.5: `sbom.py TARGET`.

It lists the crates that are compiled into the binary, with the checksums of Cargo.lock.
"""

import json
import os
import subprocess
import sys
import time
import tomllib

NORMAL = None


def linked(metadata: dict) -> set[str]:
    """Ids of the crates that the binary contains: no dependencies of tests or build scripts."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = set(), [metadata["resolve"]["root"]]
    while waiting:
        crate = waiting.pop()
        if crate not in found:
            found.add(crate)
            for dependency in nodes[crate]["deps"]:
                if any(kind["kind"] is NORMAL for kind in dependency["dep_kinds"]):
                    waiting.append(dependency["pkg"])
    return found


def main() -> None:
    target = sys.argv[1]
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    metadata = json.loads(subprocess.check_output(command))
    with open("Cargo.lock", "rb") as file:
        checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in tomllib.load(file)["package"]}
    compiler = subprocess.check_output(["rustc", "--version"], text=True).strip()

    root = metadata["resolve"]["root"]
    packages = {package["id"]: package for package in metadata["packages"]}
    crates = linked(metadata)
    reference = {id: f"{packages[id]['name']}@{packages[id]['version']}" for id in crates}

    def component(id: str) -> dict:
        package = packages[id]
        name, version = package["name"], package["version"]
        fields = {"type": "library", "bom-ref": reference[id], "name": name, "version": version}
        if package.get("license"):
            fields["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if checksum := checksums.get((name, version)):
            fields["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package["source"]:
            fields["purl"] = f"pkg:cargo/{name}@{version}"
        return fields

    def dependencies(node: dict) -> dict:
        normal = {d["pkg"] for d in node["deps"] if any(k["kind"] is NORMAL for k in d["dep_kinds"])}
        return {"ref": reference[node["id"]], "dependsOn": sorted(reference[id] for id in normal)}

    time_of_commit = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time_of_commit),
            "component": component(root) | {"type": "application"},
            "properties": [{"name": "target", "value": target}, {"name": "compiler", "value": compiler}],
        },
        "components": sorted(map(component, crates - {root}), key=lambda crate: crate["bom-ref"]),
        "dependencies": sorted(
            (dependencies(node) for node in metadata["resolve"]["nodes"] if node["id"] in crates),
            key=lambda entry: entry["ref"],
        ),
    }
    json.dump(document, sys.stdout, indent=2)
    print()


main()
