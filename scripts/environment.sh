# shellcheck shell=bash
# Sourced by up and test: the Python environment of this checkout, from the hashed lock files. Sets nothing but .venv.
# Needs: root=FOLDER.

fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# The first Python on PATH that is new enough, asked for its real program: version managers put slow shims there.
find_python() {
  local candidate
  for candidate in python3.11 python3 python3.12 python3.13; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      "$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))'
      return
    fi
  done
  return 1
}

# python_environment LOCK: .venv with the packages of a lock file; nothing to do when it has been made from this one.
python_environment() {
  local lock="$root/$1" stamp python
  stamp="$root/.venv/.${1//\//-}-$(cat "$lock" "$root/pyproject.toml" | sha256sum | cut -c1-12)"
  [[ -f $stamp ]] && return
  python=$(find_python) || fail "Python 3.11 or newer is missing → apt-get install python3 python3-venv"
  if ! "$root/.venv/bin/python" -c 'import pip' 2>/dev/null; then
    printf 'Python environment, once …\n'
    if ! "$python" -c 'import ensurepip' 2>/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
      export DEBIAN_FRONTEND=noninteractive
      { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null 2>&1 || true
    fi
    "$python" -m venv --clear "$root/.venv" >/dev/null 2>&1 \
      || fail "python3 has no venv module → apt-get install python3-venv"
  fi
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" \
    || fail "the packages of $lock could not be installed → the Python package index must be reachable once"
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
    --editable "$root" || fail "rayops could not be installed into $root/.venv"
  touch "$stamp"
}
