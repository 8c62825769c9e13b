#!/usr/bin/env bash
# Runs an S3 server in memory for tests, in the foreground, and prints its endpoint when it answers.
#
# usage: start.sh PORT      serve on 127.0.0.1:PORT until killed (the process becomes the server)
#        start.sh install   only install what is missing, and print the Python that has it
#
# Takes any keys; forgets everything when it ends. Installs pinned packages (requirements.txt) into a
# virtual environment of its own in the user's cache folder, once; any number may start at a time.
#
# environment: SILTDB_S3_LOG   file for the server's log (default: none)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${XDG_CACHE_HOME:-$HOME/.cache}/siltdb/s3-server
ready_seconds=60

die() {
  echo "start.sh: $*" >&2
  exit 1
}

[ $# -eq 1 ] || die "usage: start.sh PORT|install"
command -v python3 >/dev/null || die "python3 is missing"
command -v flock >/dev/null || die "flock is missing"

# One environment for each set of requirements and each Python, so that a running server never has it
# changed beneath it.
older=$here/requirements-sqlalchemy-1.4.txt
stamp=$({ cat "$here/requirements.txt" "$older"; python3 --version; } | sha256sum | cut -c1-16)
environment=$home/$stamp

install() {
  [ ! -e "$environment/complete" ] || return 0
  rm -rf "$environment"
  python3 -m venv "$environment" >&2 || die "python3 cannot make a virtual environment (is python3-venv installed?)"
  "$environment/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2 \
    || die "pip could not install the requirements"
  "$environment/bin/pip" install -q --disable-pip-version-check --no-deps -r "$older" \
    --target "$environment/sqlalchemy-1.4" >&2 || die "pip could not install the older SQLAlchemy"
  touch "$environment/complete"
}

mkdir -p "$home"
exec 9>"$home/lock"
flock 9
install
flock -u 9
exec 9>&-

if [ "$1" = install ]; then
  echo "$environment/bin/python"
  exit 0
fi

port=$1
[[ $port =~ ^[0-9]+$ ]] || die "not a port: $port"

if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  die "port $port is in use"
fi

# Waits beside the server, which takes over this process.
server=$$
(
  for ((tenths = 0; tenths < ready_seconds * 10; tenths++)); do
    kill -0 "$server" 2>/dev/null || die "the server ended while starting; SILTDB_S3_LOG=file shows why"
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "http://127.0.0.1:$port"
      exit 0
    fi
    sleep 0.1
  done
  die "the server does not answer after $ready_seconds s"
) &

exec "$environment/bin/python" "$here/server.py" -H 127.0.0.1 -p "$port" >"${SILTDB_S3_LOG:-/dev/null}" 2>&1
