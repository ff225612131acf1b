#!/usr/bin/env bash
# Fetches the Silero VAD v5 model (MIT, 2.3 MB) out of the npm package @ricky0123/vad-web, checks it, and puts it here
# (or into the folder given). Nothing of the package is run. Without the model the gateway uses its energy detector.
# usage: fetch-silero.sh [FOLDER]        needs: npm, tar, sha256sum
set -euo pipefail
version=0.0.31
name=silero_vad_v5.onnx
sum=2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f
folder=${1:-$(dirname "$0")}
mkdir -p "$folder"
folder=$(realpath "$folder")

good() { [ -f "$1" ] && echo "$sum  $1" | sha256sum --check --status; }
if good "$folder/$name"; then echo "$folder/$name is there already"; exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
command -v npm >/dev/null || { echo "fetch-silero.sh: npm is missing; run: apt-get install npm" >&2; exit 1; }
npm pack --silent "@ricky0123/vad-web@$version" >/dev/null || { echo "fetch-silero.sh: npm could not fetch @ricky0123/vad-web@$version" >&2; exit 1; }
tar xzf ./*.tgz "package/dist/$name"
good "package/dist/$name" || { echo "fetch-silero.sh: the checksum of $name is wrong; nothing was installed" >&2; exit 1; }
mv "package/dist/$name" "$folder/$name"
echo "$folder/$name"
