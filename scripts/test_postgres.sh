#!/bin/sh
# Sees to a PostgreSQL server for the tests: the one that is installed, else Debian's where it may be
# installed, else the one in a package for Python. Usage: test_postgres.sh PYTHON
set -eu

found() { "$1" -c 'from tests.postgres_server import binaries; binaries()'; }

found "$1" 2>/dev/null && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "No PostgreSQL server found: installing Debian's"
    apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null || true
    found "$1" 2>/dev/null && exit 0
fi
echo "No PostgreSQL server found: installing the one in the package pgserver"
"$1" -m pip --quiet --disable-pip-version-check install pgserver || true
found "$1"
