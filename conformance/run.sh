#!/bin/bash
# Runs independent suites against sluiced; see README.md beside this file.
#
# environment: SLUICE_BIN (folder of programs), WORK (results), SUITES, VERSIONS, CASES, TESTER, SLUICE_SHARED.
set -u
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
export SLUICED=${SLUICED:-${SLUICE_BIN:-$target/release}/sluiced}
export WORK=${WORK:-$target/conformance}
mkdir -p "$WORK"
[ -x "$SLUICED" ] || { echo "$SLUICED is missing; build it: make build" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "conformance: needs root for network namespaces" >&2; exit 1; }

# A Python of our own: the suites bring many packages.
venv() { # NAME PACKAGE...
    local at=$WORK/$1; shift
    [ -f "$at/ready" ] && return
    python3 -m venv "$at" && "$at/bin/pip" -q install "$@" && touch "$at/ready"
}

good=0
for suite in ${SUITES:-switchtest learning faucet}; do
    case $suite in
    switchtest)
        venv os-ken os-ken eventlet || { echo "switchtest: cannot install os-ken from PyPI" >&2; good=1; continue; }
        if [ -z "${TESTS:-}" ]; then
            # The cases are in the source archive only.
            [ -d "$WORK/source" ] || "$WORK/os-ken/bin/pip" -q download --no-deps --no-binary :all: os-ken -d "$WORK/source"
            [ -d "$WORK/tree" ] || { mkdir "$WORK/tree" && tar xzf "$WORK"/source/os*ken*.tar.gz -C "$WORK/tree" --strip-components=1; }
            export TESTS=$WORK/tree/os_ken/tests/switch
        fi
        PYTHON=$WORK/os-ken/bin/python python3 "$here/switchtest.py" ${VERSIONS:-10 13} || good=1 ;;
    learning)
        venv os-ken os-ken eventlet || { good=1; continue; }
        PYTHON=$WORK/os-ken/bin/python python3 "$here/learning.py" || good=1 ;;
    faucet)
        venv faucet faucet || { echo "faucet: cannot install faucet from PyPI" >&2; good=1; continue; }
        FAUCET=$WORK/faucet/bin/faucet python3 "$here/faucet.py" || good=1 ;;
    *) echo "no suite is called $suite" >&2; good=1 ;;
    esac
done
exit $good
