#!/bin/busybox sh
# First program of the guest's root file system: runs the host's commands, one at a time.
# Request:  a line "<id> <seconds> <command in base64>" on the virtio console port.
# Reply:    a line "<id> <exit status> <bytes>", then that many bytes of output.
export PATH=/usr/sbin:/usr/bin:/usr/libexec/igt-gpu-tools HOME=/root TERM=dumb LC_ALL=C
export RUSTICL_ENABLE=iris
bb=/bin/busybox  # its shell prefers its own applets: real programs go by their full path
exec </dev/null
$bb mount -t tmpfs tmpfs /tmp
$bb mount -t tmpfs tmpfs /run
$bb mkdir -p /dev/pts /dev/shm
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs shm /dev/shm
$bb mount -t debugfs debugfs /sys/kernel/debug
$bb hostname guest
$bb ip link set lo up
/usr/sbin/depmod -a >/dev/null 2>&1
port=/dev/vport0p1
[ -e $port ] || port=$($bb ls /dev/vport*p1 | $bb head -n 1)
exec 3<>"$port"
echo "ready $($bb uname -r)" >&3
echo "vgpud-guest: ready" >/dev/console
# The real `timeout` ends the whole process group; a test may have forked.
while read -r id limit encoded <&3; do
    echo "$encoded" | $bb base64 -d >/tmp/.command
    /usr/bin/timeout -s KILL "$limit" bash /tmp/.command >/tmp/.output 2>&1 3<&-
    status=$?
    echo "$id $status $($bb stat -c %s /tmp/.output)" >&3
    $bb cat /tmp/.output >&3
done
$bb poweroff -f
