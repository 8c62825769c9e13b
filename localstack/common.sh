# Shared by start, stop and try. Sourced, not run.
# shellcheck shell=bash

localstack_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
localstack_home=${XDG_CACHE_HOME:-$HOME/.cache}/siltdb/localstack
state=${SILTDB_LOCALSTACK_STATE:-$localstack_home/state}

die() {
  echo "localstack: $*" >&2
  exit 1
}

# Whether the process started here is alive. Its command line is compared, because pids are used again.
is_running() {
  local pid
  pid=$(cat "$state/pid" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q 'localstack.runtime.main'
}

# The first Python that will do: on an older one LocalStack finds none of its own plugins, and says only
# that, and the pinned packages were tried with this one.
find_python() {
  local candidate
  for candidate in "${SILTDB_LOCALSTACK_PYTHON:-}" python3 python3.13 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

# Installs LocalStack and the executor once for each set of versions, and prints where.
install_localstack() {
  local python stamp environment executor copy
  python=$(find_python) || die "Python 3.13 is needed, with venv; name one by SILTDB_LOCALSTACK_PYTHON"
  executor=$localstack_folder/process_executor
  stamp=$({
    cat "$localstack_folder/requirements.txt" "$executor"/pyproject.toml "$executor"/*.py
    "$python" --version
  } | sha256sum | cut -c1-16)
  environment=$localstack_home/$stamp
  mkdir -p "$localstack_home"
  exec 9>"$localstack_home/lock"
  flock 9
  if [ ! -e "$environment/complete" ]; then
    echo "localstack: installing into $environment (once, about a minute)" >&2
    rm -rf "$environment"
    "$python" -m venv "$environment" >&2 || die "$python cannot make a virtual environment"
    "$environment/bin/pip" install -q --disable-pip-version-check -r "$localstack_folder/requirements.txt" >&2 \
      || die "pip could not install the requirements"
    # A copy, because building leaves files in the source.
    copy=$environment/process_executor
    mkdir "$copy"
    cp "$executor"/pyproject.toml "$executor"/*.py "$copy"
    "$environment/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation "$copy" >&2 \
      || die "pip could not install the executor"
    "$environment/bin/python" -c 'import localstack.aws.components, siltdb_process_executor' >&2 \
      || die "what was installed cannot be loaded"
    touch "$environment/complete"
  fi
  flock -u 9
  exec 9>&-
  echo "$environment"
}
