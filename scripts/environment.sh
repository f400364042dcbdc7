# shellcheck shell=bash
# Sourced by up, run and test: the Python environments of this checkout, from the hashed lock files.
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

# new_environment FOLDER: an empty virtual environment with pip.
new_environment() {
  local python
  python=$(find_python) || fail "Python 3.11 or newer is missing → apt-get install python3 python3-venv"
  if ! "$python" -c 'import ensurepip' 2>/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null 2>&1 || true
  fi
  "$python" -m venv --clear "$1" >/dev/null 2>&1 || fail "python3 has no venv module → apt-get install python3-venv"
}

# install_lock FOLDER LOCK [PIP OPTIONS]: the packages of a lock file, by hash, into that environment.
install_lock() {
  local folder=$1 lock=$2
  shift 2
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps "$@" \
    -r "$root/$lock" \
    || fail "the packages of $root/$lock could not be installed → the Python package index must be reachable once"
}

# python_environment LOCK: .venv with the packages of a lock file; nothing to do when it has been made from this one.
python_environment() {
  local stamp
  stamp="$root/.venv/.${1//\//-}-$(cat "$root/$1" "$root/pyproject.toml" | sha256sum | cut -c1-12)"
  [[ -f $stamp ]] && return
  find_python >/dev/null || fail "Python 3.11 or newer is missing → apt-get install python3 python3-venv"
  if ! "$root/.venv/bin/python" -c 'import pip' 2>/dev/null; then
    printf 'Python environment, once …\n'
    new_environment "$root/.venv"
  fi
  install_lock "$root/.venv" "$1"
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
    --editable "$root" || fail "rayops could not be installed into $root/.venv"
  touch "$stamp"
}

# vllm_environment: sets vllm=FOLDER, an environment with vLLM on CPUs below .cache. It is one for each lock file: where the
# lock changes it is made anew, and that of the old lock is deleted (6 GB). Half-made ones have no stamp.
vllm_environment() {
  local lock=scripts/requirements/vllm.txt
  vllm="$root/.cache/vllm-$(sha256sum <"$root/$lock" | cut -c1-12)"
  [[ -f $vllm/.complete ]] && return
  printf 'vLLM on CPUs, once: 3 GB to download, 6 GB on disk …\n'
  vllm_libraries
  rm -rf "$root"/.cache/vllm-*
  mkdir -p "$root/.cache"
  new_environment "$vllm"
  # No copy of the downloads, and only the modules that are used are compiled, at their first import.
  install_lock "$vllm" "$lock" --no-cache-dir --no-compile
  touch "$vllm/.complete"
}

# checkov_environment: sets checkov=FOLDER, an environment with that scanner below .cache, in the same way.
checkov_environment() {
  local lock=scripts/requirements/checkov.txt
  checkov="$root/.cache/checkov-$(sha256sum <"$root/$lock" | cut -c1-12)"
  [[ -f $checkov/.complete ]] && return
  printf 'checkov, once: 290 MB on disk …\n'
  rm -rf "$root"/.cache/checkov-*
  mkdir -p "$root/.cache"
  new_environment "$checkov"
  install_lock "$checkov" "$lock" --no-cache-dir
  touch "$checkov/.complete"
}

# The two libraries of the system that vLLM's CPU kernels load; slim images of Debian have neither.
vllm_libraries() {
  local python
  python=$(find_python) || fail "Python 3.11 or newer is missing → apt-get install python3 python3-venv"
  if "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1"); ctypes.CDLL("libgomp.so.1")' 2>/dev/null; then
    return
  fi
  if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq libnuma1 libgomp1; } >/dev/null 2>&1 && return
  fi
  fail "libnuma.so.1 or libgomp.so.1 is missing → apt-get install libnuma1 libgomp1"
}
