# shellcheck shell=bash
# Shared by the scripts; sourced, never run. Sets `root` to the tree.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# configure_preset PRESET: quiet unless it fails, then the end of the log on stderr.
configure_preset() {
  local log="$root/build/$1/configure.log"
  mkdir -p "${log%/*}"
  if ! (cd "$root" && cmake --preset "$1") >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf 'configuring failed; the whole log is %s\n' "$log" >&2
    return 1
  fi
}

# build_preset PRESET [TARGET...]: configures and builds. Everything goes to stderr: progress on a
# terminal; elsewhere nothing unless it fails, then what went wrong.
build_preset() {
  local preset="$1" folder="$root/build/$1"
  shift
  local ninja=(ninja -C "$folder" -j "$(nproc)" "$@") log="$folder/build.log"
  if [[ ! -w "${HOME:-}" ]]; then # ccache would fail
    export CCACHE_DIR="${CCACHE_DIR:-$root/build/ccache}"
  fi
  mkdir -p "$folder"
  (
    flock 9 # two builds at once in one folder would spoil each other
    configure_preset "$preset" || exit 1
    if [[ -t 2 ]]; then
      NINJA_STATUS='building [%f/%t] ' "${ninja[@]}" >&2
    elif ! "${ninja[@]}" >"$log" 2>&1; then
      grep -A 20 -m 3 -E '^FAILED|error:' "$log" >&2 || tail -n 40 "$log" >&2
      printf 'the build failed; the whole log is %s\n' "$log" >&2
      exit 1
    fi
  ) 9>"$folder/.lock"
}

# debian_sources: this machine's apt sources that serve bookworm, one file a line.
debian_sources() {
  grep -l bookworm /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
    /etc/apt/sources.list.d/*.sources 2>/dev/null || true
}
