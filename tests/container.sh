#!/usr/bin/env bash
# Does the Containerfile work? Builds it unchanged with podman, then does in the image what it is for, as its own user:
# version, doctor, lists, `teleop demo`, and the default command against the virtual robot, ended by the stop signal.
#
#   bash tests/container.sh                on the real base image
#   bash tests/container.sh --local-base   where docker.io cannot be reached: on a stand-in of the same name, made here
#                                          with debootstrap (Debian's own Python 3.11; as root)
#
# Debian packages: podman, and debootstrap for the stand-in; nothing is installed by this script. It takes 7 GB in
# TMPDIR (/var/tmp when not set), all of which is removed at the end. pip's settings of this machine (index, wheels,
# certificates) are lent to the build, not left in the image; so is the mirror that apt uses here.
set -euo pipefail
cd "$(dirname "$0")/.."

base="$(sed -n 's/^FROM \([^ ]*\)$/\1/p' Containerfile)"
image="localhost/teleopd"
largest_mb=2000
tries=3  # a machine that starves the virtual robot ends a good run by STATE_LOST

fail() { echo "container: $*" >&2; exit 1; }
cannot() { echo "container: $*" >&2; exit 2; }

local_base=""
case "${1:-}" in
  "") ;;
  --local-base) local_base=1 ;;
  *) cannot "'$1' is not known; the only option is --local-base" ;;
esac

# -- what it needs ----------------------------------------------------------------------------------------------------
packages=()
command -v podman >/dev/null || packages+=("podman")
command -v runc >/dev/null || command -v crun >/dev/null || packages+=("runc")
if [ -n "$local_base" ]; then
  [ "$(id -u)" = 0 ] || cannot "--local-base makes a Debian with debootstrap, which only root may"
  PATH="$PATH:/usr/sbin" command -v debootstrap >/dev/null || packages+=("debootstrap")
fi
[ "${#packages[@]}" = 0 ] || cannot "missing; as root: apt-get install --no-install-recommends ${packages[*]}"

work="$(mktemp -d "${TMPDIR:-/var/tmp}/teleopd-container.XXXXXX")"
runroot="$(mktemp -d /tmp/teleopd.XXXXXX)"  # podman takes no path of more than 50 characters
podman=(podman --root "$work/storage" --runroot "$runroot" --cgroup-manager cgroupfs)

cleanup() {
  "${podman[@]}" rm --all --force --time 5 >/dev/null 2>&1 || true
  umount -l "$work/storage/overlay" 2>/dev/null || true
  rm -rf "$work" "$runroot" 2>/dev/null || podman unshare rm -rf "$work" "$runroot" \
    || echo "container: could not remove $work" >&2
}
trap cleanup EXIT

step() { echo "== $*"; }
shown() { tail -30 "$work/run.log" >&2; fail "$@"; }  # what the container said last, and the sentence

# -- the base image ---------------------------------------------------------------------------------------------------
if [ -n "$local_base" ]; then
  step "a stand-in for $base"
  # The mirror that this machine itself uses for bookworm; debootstrap's own otherwise.
  mirror="$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null \
    | sed -n 's/^bookworm //p' | sort | sed -n 1p)"
  PATH="$PATH:/usr/sbin" debootstrap --variant=minbase \
    --include=ca-certificates,netbase,tzdata,python3.11,python3-venv,python3-pip \
    bookworm "$work/base" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 \
    || { tail -5 "$work/debootstrap.log" >&2; cannot "debootstrap could not make a Debian bookworm"; }
  ln -s python3 "$work/base/usr/bin/python"
  # As the images of Debian do: a downloaded package is not kept.
  echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' \
    >"$work/base/etc/apt/apt.conf.d/docker-clean"
  rm -rf "$work/base"/var/cache/apt/archives/*.deb "$work/base"/var/lib/apt/lists/*
  tar -C "$work/base" --one-file-system -cf "$work/base.tar" .
  rm -rf "$work/base"
  "${podman[@]}" import --quiet --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' "$work/base.tar" "$base" \
    >"$work/import.log" 2>&1 || { cat "$work/import.log" >&2; cannot "podman could not take the stand-in in"; }
  rm "$work/base.tar"
else
  step "$base"
  "${podman[@]}" pull --quiet "$base" >/dev/null || cannot "$base could not be fetched; try --local-base"
fi

# -- the build --------------------------------------------------------------------------------------------------------
# pip's settings here, and the folders and files they name, are mounted while it builds.
lent=()
if python3 -m pip --version >/dev/null 2>&1; then
  python3 - "$work/pip.conf" >"$work/lent" <<'PY'
import ast, os, re, subprocess, sys

KEPT = {"cert", "client-cert", "constraint", "extra-index-url", "find-links", "index-url", "no-index", "proxy",
        "retries", "timeout", "trusted-host"}
settings = {}
listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):  # the environment wins
    name, _, value = line.partition("=")
    key = name.rpartition(".")[2]
    if key in KEPT and value:
        settings[key] = ast.literal_eval(value).split()
with open(sys.argv[1], "w") as file:
    print("[global]", *(f"{key} = {' '.join(words)}" for key, words in settings.items()), sep="\n", file=file)
paths = set()
for word in sum(settings.values(), []):
    path = re.sub(r"^file://", "", word).rstrip("/")
    if path.startswith("/") and os.path.exists(path):
        # An index on disk links to the files beside it.
        beside = os.path.dirname(path)
        paths.add(beside if word.startswith("file://") and beside.count("/") > 1 else path)
print(*sorted(paths), sep="\n")
PY
  lent=(--volume "$work/pip.conf:/etc/pip.conf:ro")
  while read -r path; do [ -z "$path" ] || lent+=(--volume "$path:$path:ro"); done <"$work/lent"
fi
isolation=()
[ "$(id -u)" != 0 ] || isolation=(--isolation chroot)  # what asks least of the machine
step "the Containerfile, several minutes"
began=$SECONDS
"${podman[@]}" build --file Containerfile --tag "$image" --pull=missing --layers=false "${isolation[@]}" \
  "${lent[@]}" . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2; fail "the Containerfile does not build"; }
echo "built in $((SECONDS - began)) s"

# -- running it -------------------------------------------------------------------------------------------------------
# Files and processes are limited to what a machine without the right to raise limits has too.
plain=(--network host --ulimit nofile=8192:8192 --ulimit nproc=8192:8192)
runtime=()
runs() { "${podman[@]}" "${runtime[@]}" run --rm "${plain[@]}" "$@" >"$work/run.log" 2>&1; }
started=""
for name in "" runc crun; do
  runtime=(${name:+--runtime "$name"})
  if runs --entrypoint true "$image"; then started=1; break; fi
done
[ -n "$started" ] || { cat "$work/run.log" >&2; cannot "it builds, but podman cannot run a container on this machine"; }
state=(--volume state:/var/lib/teleopd)
says() { # SECONDS WORDS ARGUMENT...: `teleop ARGUMENT...` ends well in that time and says these words
  local limit="$1" words="$2"
  shift 2
  runs "${state[@]}" --timeout "$limit" "$image" "$@" \
    || shown "'teleop $*' does not end with exit status 0"
  grep -qF -- "$words" "$work/run.log" || shown "'teleop $*' does not say '$words'"
}
ends() { # STATUS WORDS ARGUMENT...: it ends with this exit status and says these words
  local expected="$1" words="$2" status=0
  shift 2
  runs "${state[@]}" --timeout 120 "$image" "$@" || status=$?
  [ "$status" = "$expected" ] || shown "'teleop $*' ends with $status, not $expected"
  grep -qF -- "$words" "$work/run.log" || shown "'teleop $*' does not say '$words'"
}
shell() { # SENTENCE OPTION... -- SCRIPT: the script is true in the image; the sentence says what is wrong otherwise
  local sentence="$1" options=()
  shift
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  runs "${options[@]}" --entrypoint sh "$image" -ec "$2" || shown "$sentence"
}

step "user, files and leftovers"
shell "it runs as root" -- '[ "$(id -u)" != 0 ]'
shell "its user cannot write into the volume /var/lib/teleopd" "${state[@]}" -- 'cd /var/lib/teleopd; touch a; rm a'
shell "its user can change the program or the configuration" -- '! [ -w /opt/teleopd ] && ! [ -w /etc/teleopd ]'
shell "a compiler is left in the image" --user root -- \
  'for name in cc gcc g++ clang ld make; do if command -v "$name"; then exit 1; fi; done'
shell "pip or apt left something in the image" --user root -- \
  'found="$(find / -xdev "(" -path "*/.cache/pip" -o -name "*.deb" -o -path "/var/lib/apt/lists/*_Packages*" ")")"
   echo "$found"; [ -z "$found" ]'

step "what teleop says"
says 120 "teleop " --version
says 120 "serve" --help
says 120 "whole-body tracker" policy list
says 120 "SOURCE_STALE" failsafe
ends 1 "not one datagram arrived" doctor --host 127.0.0.1 --port 29763
ends 2 "cannot read /etc/teleopd/robot.toml"

# What a report says of a run, without an `import json` on this side.
reported() { "${podman[@]}" "${runtime[@]}" run --rm "${plain[@]}" "${state[@]}" --entrypoint python "$image" -c \
  "import json; r = json.load(open('$1')); print(r['upright'], *(m[1] for m in r['modes']), *r['interventions'])"; }
starved() { case "$1" in *STATE_LOST*) true ;; *) false ;; esac; }

step "teleop demo"
for try in $(seq "$tries"); do
  said="an unfinished run"
  runs "${state[@]}" --timeout 300 "$image" demo --no-view --seconds 8 && said="$(reported demo-output/report.json)"
  case "$said" in True*ACTIVE*) break ;; esac
  tail -5 "$work/run.log" >&2
  [ "$try" != "$tries" ] || fail "'teleop demo' does not end upright with exit status 0: $said"
  echo "again: $said"
done
shell "'teleop demo' left no picture" "${state[@]}" -- 'ls /var/lib/teleopd/demo-output/*.png'

# The command of docs/deploy.md, with the default command of the image.
step "the default command, until the stop signal"
mkdir "$work/etc"
cat >"$work/etc/robot.toml" <<'TOML'
source = "motion_file"
motion = "walk_and_turn"
loop = true
auto_engage = true
view = false
report = "/var/lib/teleopd/report.json"
TOML
chmod -R a+rX "$work/etc"
as_documented=(--ipc host --cap-add SYS_NICE --volume "$work/etc:/etc/teleopd:Z" "${state[@]}")
limits=(--ulimit rtprio=80 --ulimit memlock=-1)
if ! runs "${as_documented[@]}" "${limits[@]}" --entrypoint true "$image"; then
  echo "not tested: --ulimit rtprio=80 and memlock=-1, for this machine does not let podman raise limits"
  limits=(--cap-add IPC_LOCK)
fi
in_python() { runs "${as_documented[@]}" "${limits[@]}" "${@:2}" --entrypoint python "$image" -c "$1"; }
in_python 'import ctypes, sys; sys.exit(ctypes.CDLL(None).mlockall(3) != 0)' \
  || shown "memory cannot be locked with the options of docs/deploy.md"
fifo='import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))'
if in_python "$fifo"; then
  echo "SCHED_FIFO is granted"
elif in_python "$fifo" --cpu-rt-runtime 100000 --cgroup-parent /; then
  echo "SCHED_FIFO is granted with --cpu-rt-runtime 100000 --cgroup-parent /; what follows runs without"
else
  echo "not tested: SCHED_FIFO, which the kernel of this machine does not grant to containers"
fi
for try in $(seq "$tries"); do
  "${podman[@]}" "${runtime[@]}" run --detach --name robot "${plain[@]}" "${as_documented[@]}" "${limits[@]}" "$image" \
    >/dev/null
  log() { "${podman[@]}" logs robot 2>&1; }
  for _ in $(seq 90); do
    sleep 1
    if log | grep -q '"event": "ACTIVE"'; then break; fi
  done
  log | grep -q '"event": "ACTIVE"' || { log >&2; fail "the default command did not walk the robot within 90 s"; }
  sleep 5
  asked="$("${podman[@]}" "${runtime[@]}" exec robot teleop ctl status 2>&1)" \
    || fail "'teleop ctl status' does not work in the container: $asked"
  "${podman[@]}" stop --time 40 robot >/dev/null
  status="$("${podman[@]}" inspect --format '{{.State.ExitCode}}' robot)"
  said="$(reported report.json)"
  log >"$work/run.log"
  "${podman[@]}" rm robot >/dev/null
  if [ "$try" = "$tries" ] || ! starved "$said"; then break; fi
  echo "again, for the virtual robot was starved: $said"
done
grep -q "back to stand" "$work/run.log" || shown "the stop signal did not reach the service"
[ "$status" = 0 ] || shown "after the stop signal the exit status is $status: $said"
case "$said" in True*ACTIVE*RETURN*) ;; *) fail "the stop signal did not bring the robot back to stand: $said" ;; esac
echo "asked while it ran: $asked"
echo "run: $said"

size_mb() { echo "$(("$("${podman[@]}" image inspect --format '{{.Size}}' "$1")" / 1000000))"; }
[ "$(size_mb "$image")" -le "$largest_mb" ] || fail "the image has $(size_mb "$image") MB, more than $largest_mb"
echo "works: $(size_mb "$image") MB, $(size_mb "$base") MB of them the base image"
