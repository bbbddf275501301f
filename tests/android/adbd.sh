# Runs a command beside a real adb daemon, in a network that nobody else sees:
#   unshare -n -m sh adbd.sh ROOT RUNNER COMMAND...
# ROOT is a folder of Debian's adbd and what it needs. RUNNER is a file of this machine:
# a script that starts on the device as /usr/bin/runner and sees this machine under /host.
set -eu
root=$1 runner=$2
shift 2
ip link set lo up
mount --make-rprivate /
mount -t tmpfs none "$root/tmp"
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind / "$root/host"
mount --bind "$runner" "$root/usr/bin/runner"
chroot "$root" /usr/bin/busybox env -i PATH=/usr/bin \
  LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/android \
  /usr/lib/android-sdk/platform-tools/adbd >"$runner.log" 2>&1 &
daemon=$!
connected() { "$ADB" connect 127.0.0.1:5555 | grep -q '^connected'; }
tries=0
until connected || [ $tries -ge 50 ]; do
  tries=$((tries + 1))
  sleep 0.2
done
code=0
"$@" || code=$?
"$ADB" kill-server || true
kill $daemon
exit $code
