#!/usr/bin/env bash
# Sets up a virtual environment with everything `make demo` and `make test` need, on Debian or Ubuntu.
# Installs a Debian package only if it is missing, and only with the rights it has.
set -euo pipefail
venv="$1"
python="${PYTHON:-python3}"
cd "$(dirname "$0")/.."

need_apt=()
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "teleopd needs Python 3.11 or newer; $("$python" --version) is at $(command -v "$python"). Try: make PYTHON=python3.12 ..." >&2
  exit 2
}
"$python" -c 'import venv, ensurepip' 2>/dev/null || need_apt+=("python3-venv")
# Offscreen pictures and videos draw with OpenGL; OSMesa or EGL, whichever is there.
{ ldconfig -p | grep -qE 'libEGL\.so\.1' && ldconfig -p | grep -qE 'libOpenGL\.so\.0|libGL\.so\.1'; } \
  || ldconfig -p | grep -q 'libOSMesa' || need_apt+=("libegl1" "libopengl0" "libgl1-mesa-dri")

command -v tcpdump >/dev/null || need_apt+=("tcpdump")  # a test reads our captures with it

command -v chromium >/dev/null || command -v google-chrome >/dev/null || need_apt+=("chromium")  # tests of the browser view

PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v mosquitto >/dev/null || need_apt+=("mosquitto")  # telemetry's tests
command -v systemd-analyze >/dev/null || need_apt+=("systemd")  # a test judges systemd/ with it

if [ "${#need_apt[@]}" -gt 0 ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  echo "installing Debian packages: ${need_apt[*]}"
  if ! { $sudo apt-get -qq update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${need_apt[@]}" >/dev/null; }; then
    echo "could not install ${need_apt[*]}; install them as root, then repeat: apt-get install ${need_apt[*]}" >&2
    [[ " ${need_apt[*]} " == *" python3-venv "* ]] && exit 2
  fi
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
log="$venv/setup.log"
echo "setting up $venv (a minute or two the first time)"
if ! "$venv/bin/python" -m pip install --disable-pip-version-check -e '.[test]' >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  echo "set-up failed; the whole log is $log" >&2
  exit 2
fi
"$venv/bin/python" -c 'import teleopd.launch.cli' || { echo "set-up failed: teleopd does not import" >&2; exit 2; }
# Half a minute now instead of before the first run; without it the numpy solver serves.
"$venv/bin/python" -m teleopd.service.retarget.compiled || echo "the retargeter was not compiled; it runs without" >&2
