# Sourced by ./run and ./test: installs what a fresh Debian or Ubuntu machine lacks, says what it does, and can be run
# any number of times. Everything it prints goes to stderr: stdout belongs to the program.

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
cache="${TRANSCRIBE_CACHE:-$HOME/.cache/transcribe}"

say() { printf '\033[2m· %s\033[0m\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

require_debian() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    die "This script installs Debian packages, and this machine has no apt-get: use Debian 12 or newer, or Ubuntu 24.04 or newer, or see docs/operations.md for the list of what to install by hand."
}

require_dotnet() {
  if ! command -v dotnet >/dev/null || ! dotnet --list-sdks | grep -q '^1[0-9]\.'; then
    die "The .NET 10 SDK is missing: install the package dotnet-sdk-10.0 (or Microsoft's dotnet-install script with --channel 10.0), then run this again."
  fi
}

# apt_ensure PACKAGE...: installs the packages that are missing.
apt_ensure() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "Missing packages: ${missing[*]}. Run as root: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  say "Installing ${missing[*]} (apt-get)"
  if ! DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    "${sudo[@]}" apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
      die "apt-get could not install ${missing[*]}: see the messages above."
  fi
}

node_is_recent() {
  command -v node >/dev/null && command -v npm >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)'
}

# Vite needs Node 20.19 or newer; Debian 12 has 18, which is enough to fetch a newer one from npm.
require_node() {
  node_is_recent && return 0
  if [ ! -x "$cache/node/node_modules/node/bin/node" ]; then
    command -v npm >/dev/null || apt_ensure nodejs npm
    say "Fetching Node 22 from npm into $cache/node"
    mkdir -p "$cache/node"
    npm install --prefix "$cache/node" --no-audit --no-fund --loglevel=error node@22 >&2 || die "Node 22 could not be fetched from npm."
  fi
  export PATH="$cache/node/node_modules/node/bin:$PATH"
  node_is_recent || die "Node 20.19 or newer is needed to build the page, and could not be installed."
}

# What the program itself needs at run time.
ensure_runtime() {
  require_debian
  require_dotnet
  apt_ensure libopus0 libpocketsphinx3 pocketsphinx-en-us
}

# What a cluster needs beside it.
ensure_redis() {
  command -v redis-server >/dev/null || apt_ensure redis-server
}

# The meeting page, built again only when its sources changed.
ensure_page() {
  local client="$root/src/Client" stamp="$root/src/Client/dist/.sources" sum
  sum=$(cd "$client" && find src index.html package.json package-lock.json vite.config.ts tsconfig.json -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return 0
  require_node
  say "Building the meeting page (npm, Vite)"
  (cd "$client" && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build) >&2 || die "The page could not be built: see the messages above."
  printf '%s' "$sum" >"$stamp"
}

# The better speech parts: whisper.cpp and the Silero voice activity detector. Captions work without them, only less well,
# so a failure is told and does not stop anything.
ensure_speech() {
  local parts="cmake g++ make openssl"
  command -v npm >/dev/null || parts="$parts npm"
  if [ ! -f "$root/models/silero_vad_v5.onnx" ] || ! compgen -G "$cache/whisper-*/libwhisper.so" >/dev/null; then
    (apt_ensure $parts) || { say "Without them captions come from PocketSphinx"; return 0; }
    "$root/models/fetch-silero.sh" >&2 || say "Silero could not be fetched: a simpler voice activity detector is used"
    "$root/src/AiGateway/Native/build-whisper.sh" >&2 || say "whisper.cpp could not be built: captions come from PocketSphinx"
  fi
}

# build_product CONFIGURATION
build_product() {
  say "Building ($1)"
  dotnet build "$root/src/Transcribe/Transcribe.csproj" -c "$1" -v q -clp:NoSummary --nologo >&2 || die "The build failed: see the messages above."
}
