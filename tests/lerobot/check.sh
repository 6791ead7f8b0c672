#!/usr/bin/env bash
# Does LeRobot itself load, sample, delete from and merge what `teleop capture export` writes, and find the service as a
# teleoperator?
# Its pins do not fit into our environment, so it gets one of its own, in build/: 1.6 GB. lerobot is installed without
# its requirements and with newer torch than it asks for; its data set code runs on these. The CPU build of torch is
# enough: have pip offered it (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS), or several GB more arrive. LeRobot decodes films
# with torchcodec, which wants FFmpeg's libraries (Debian package: ffmpeg).
set -euo pipefail
cd "$(dirname "$0")/../.."
ours="${1:-.venv/bin/python}"
venv="${LEROBOT_VENV:-build/lerobot-venv}"
if [ ! -e "$venv/.ready-2" ]; then
  "$ours" -m venv --clear "$venv"
  pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
  { "${pip[@]}" torch==2.13.0 &&
    "${pip[@]}" --no-deps lerobot==0.4.4 torchvision==0.28.0 torchcodec==0.13.0 &&
    "${pip[@]}" 'datasets<5' 'huggingface-hub<0.36' 'av>=15,<16' accelerate jsonlines draccus==0.10.0 einops pandas \
      pillow termcolor pyserial 'opencv-python-headless<4.13' 'packaging<26' deepdiff
  } 2>"$venv/install.log" || { tail -5 "$venv/install.log" >&2; echo "lerobot could not be installed" >&2; exit 2; }
  touch "$venv/.ready-2"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
  . ./integrations/lerobot_teleoperator_teleopd
rm -rf build/lib build/bdist.* integrations/lerobot_teleoperator_teleopd/{build,*.egg-info}
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$ours" tests/lerobot/make_sets.py "$work"
SVT_LOG=1 HF_HUB_OFFLINE=1 HF_HOME="$work/hub" "$venv/bin/python" tests/lerobot/check.py "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/hub" "$venv/bin/python" tests/lerobot/check_teleoperator.py "$ours" "$work"
