#!/bin/sh
# venv.sh PYTHON DIRECTORY: a virtual environment, or one line that says what is missing.
set -eu
python=$1 directory=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "modelserver needs Python 3.11 or later; '$python' is not that. Name another one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$python cannot make virtual environments. On Debian and Ubuntu: apt-get install python$version-venv" >&2
    exit 1
fi
# A half-made environment, or one of another Python, is made anew.
[ -x "$directory/bin/pip" ] && "$directory/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$directory"
