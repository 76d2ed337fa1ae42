#!/bin/busybox sh
# First program of the initramfs: load the boot modules, mount the root image under a tmpfs
# overlay, hand over to the agent. Arguments come from the kernel command line.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo "vgpud-guest: initramfs"
if $bb grep -q vgpud.probe /proc/cmdline; then
    $bb poweroff -f
fi
while read -r module; do
    $bb insmod "/boot-modules/$module" || echo "vgpud-guest: cannot load $module"
done </boot-modules/order
tries=0
while [ ! -b /dev/vda ]; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ]; then
        echo "vgpud-guest: no root disk"
        $bb poweroff -f
    fi
    $bb sleep 0.05
done
$bb mount -t ext4 -o ro /dev/vda /lower || $bb poweroff -f
$bb mount -t tmpfs -o size=75% tmpfs /upper
$bb mkdir /upper/files /upper/work
$bb mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root ||
    $bb poweroff -f
$bb mkdir -p /root/usr/lib/modules
$bb cp -a /modules/* /root/usr/lib/modules/
$bb cp /agent /root/agent
$bb mount --move /dev /root/dev
$bb mount --move /proc /root/proc
$bb mount --move /sys /root/sys
exec $bb switch_root /root /agent
