#!/bin/sh
# Builds Sluice and shows it: three hosts, five machines, one network. See README.md beside this file.
#
# SLUICE_BIN=DIR uses the programs in DIR instead of building them. All arguments go to demo.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

command -v python3 >/dev/null || { echo "python3 is missing; install it: apt-get install python3" >&2; exit 1; }

if [ -z "${SLUICE_BIN:-}" ]; then
    command -v cargo >/dev/null || { echo "cargo is missing; get Rust from https://rustup.rs" >&2; exit 1; }
    echo "== building Sluice (the first time takes a few minutes)"
    cargo build --release --manifest-path "$here/../Cargo.toml" -p sluice
    SLUICE_BIN=${CARGO_TARGET_DIR:-$here/../target}/release
fi
export SLUICE_BIN

if [ "$(id -u)" -ne 0 ] && sudo -n true 2>/dev/null; then
    exec sudo -n SLUICE_BIN="$SLUICE_BIN" python3 "$here/demo.py" "$@"
fi
exec python3 "$here/demo.py" "$@"
