#!/usr/bin/env bash
# Builds wheel and sdist and runs the tests against each, installed in an environment of its own, so that a
# sub-package or data file forgotten in the build fails here and not at a user's.
set -euo pipefail
python="$1"
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" -m build --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }
for artefact in "$work"/dist/*.whl "$work"/dist/*.tar.gz; do
  echo "== $(basename "$artefact")"
  "$python" -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${artefact}[test]" 2>&1 | grep -vE '^WARNING' || true
  # The tests run from a copy, so that nothing is imported from the checkout.
  mkdir -p "$work/run" && cp -r "$root/tests" "$root/pyproject.toml" "$work/run/"
  # An installed package has no checkout beside it, so it is told where the public weights lie.
  data="${TELEOPD_SHARED_DATA:-$root/../shared/data}"
  ( cd "$work/run" && TELEOPD_SHARED_DATA="$data" TELEOPD_POLICY_PATH="$data/policies" \
      "$work/venv/bin/python" -m pytest -q -n 2 --dist loadgroup -m "not long and not hardware and not checkout" tests )
  rm -rf "$work/venv" "$work/run"
done
