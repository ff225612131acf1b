#!/usr/bin/env bash
# Builds whisper.cpp 1.9.1 as shared libraries for the engine "whisper", about 70 s on two cores, and prints their folder.
# The source is the one in the npm package nodejs-whisper 0.3.1 (identical to the upstream tag); nothing of the package is run.
# The result is cached: a second call returns at once.
#   TRANSCRIBE_CACHE           cache folder                       (default ~/.cache/transcribe)
#   TRANSCRIBE_WHISPER_NATIVE  1: tune for this very processor     (default 0: any x86-64 with AVX2, or any arm64)
# usage: build-whisper.sh        needs: npm, openssl, cmake, a C++ compiler
set -euo pipefail
version=1.9.1
package=nodejs-whisper
package_version=0.3.1
integrity=ceoilUVraRuR5FnNyXpGQT2auAR48Oc3AQBEmkXnVpSn9iN6yVRzQBFCqVTGWbk6Wdi95NhvwXNzFvuR7erLWw==
native=${TRANSCRIBE_WHISPER_NATIVE:-0}
cache=${TRANSCRIBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/transcribe}
target=$cache/whisper-$version-$(uname -m)
[ "$native" = 1 ] && target=$target-native

fail() { echo "build-whisper.sh: $1" >&2; exit 1; }
if [ -f "$target/libwhisper.so" ]; then echo "$target"; exit 0; fi
command -v npm >/dev/null || fail "npm is missing; run: apt-get install npm"
command -v openssl >/dev/null || fail "openssl is missing; run: apt-get install openssl"
command -v cmake >/dev/null || fail "cmake is missing; run: apt-get install cmake"
command -v c++ >/dev/null || fail "a C++ compiler is missing; run: apt-get install g++ make"

mkdir -p "$cache"
exec 9>"$cache/build-whisper.lock"
flock 9
if [ -f "$target/libwhisper.so" ]; then echo "$target"; exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "$package@$package_version" >/dev/null || fail "npm could not fetch $package@$package_version"
found=$(openssl dgst -sha512 -binary ./*.tgz | base64 -w0)
[ "$found" = "$integrity" ] || fail "the checksum of $package $package_version is wrong; nothing was built"
tar xzf ./*.tgz
source=$(dirname "$(find package -path '*whisper.cpp/CMakeLists.txt' | head -1)")
[ -f "$source/CMakeLists.txt" ] || fail "the package holds no whisper.cpp source"

echo "building whisper.cpp $version (about a minute) ..." >&2
# gcc 12 drops the AMX tile configuration of ggml's AMX kernels, and quantised models die: AMX stays out.
cmake -S "$source" -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_CCACHE=OFF -DGGML_OPENMP=OFF \
  -DGGML_NATIVE="$([ "$native" = 1 ] && echo ON || echo OFF)" -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF \
  -DWHISPER_BUILD_TESTS=OFF -DWHISPER_BUILD_EXAMPLES=OFF -DWHISPER_BUILD_SERVER=OFF \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN' >"$work/log" 2>&1 \
  || { tail -20 "$work/log" >&2; fail "cmake could not configure whisper.cpp"; }
cmake --build build --target whisper -j "$(nproc)" >>"$work/log" 2>&1 || { tail -20 "$work/log" >&2; fail "whisper.cpp did not compile"; }

mkdir -p out
find build -name 'lib*.so*' -exec cp -a {} out/ \;
[ -e out/libwhisper.so ] || fail "the build gave no libwhisper.so"

# Loads it in a process of its own: a library for another processor dies here, not in the gateway.
cat >smoke.c <<'C'
#include <stdio.h>
const char *whisper_version(void);
const char *whisper_print_system_info(void);
int main(void) { printf("%s: %s\n", whisper_version(), whisper_print_system_info()); return 0; }
C
cc smoke.c -o smoke -Lout -lwhisper -Wl,-rpath,"$work/out" -Wl,--allow-shlib-undefined && ./smoke >&2 || fail "the built library does not run on this machine"

rm -rf "$target.new"
mv out "$target.new"
mv "$target.new" "$target"
echo "$target"
