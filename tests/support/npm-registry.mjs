// An npm registry: node registry.mjs PORT FOLDER, where FOLDER holds tarballs of `npm pack`.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

const [, , port, folder] = process.argv;
const packages = new Map();

function manifest(tarball) {
  const tar = gunzipSync(tarball);
  for (let at = 0; at < tar.length && tar[at]; ) {
    const name = tar.toString("utf8", at, tar.indexOf(0, at));
    const size = parseInt(tar.toString("latin1", at + 124, at + 136), 8);
    if (name === "package/package.json") return JSON.parse(tar.toString("utf8", at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

for (const file of readdirSync(folder).filter((name) => name.endsWith(".tgz"))) {
  const tarball = readFileSync(`${folder}/${file}`);
  const { name, version, ...rest } = manifest(tarball);
  const dist = {
    integrity: "sha512-" + createHash("sha512").update(tarball).digest("base64"),
    shasum: createHash("sha1").update(tarball).digest("hex"),
    file,
  };
  packages.set(name, { name, version, ...rest, dist });
}

createServer((request, response) => {
  const path = decodeURIComponent(request.url.split("?")[0].slice(1));
  console.error(request.method, path);
  if (path.startsWith("-/")) return response.end(readFileSync(`${folder}/${path.slice(2).replaceAll("/", "")}`));
  const found = packages.get(path);
  if (!found) return response.writeHead(404).end("{}");
  const { file, ...dist } = found.dist;
  const version = { ...found, _id: `${found.name}@${found.version}`, dist: { ...dist, tarball: `http://${request.headers.host}/-/${file}` } };
  const time = { [found.version]: "2026-09-24T00:00:00.000Z", created: "2026-09-24T00:00:00.000Z", modified: "2026-09-24T00:00:00.000Z" };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ name: found.name, "dist-tags": { latest: found.version }, versions: { [found.version]: version }, time }));
}).listen(Number(port));
