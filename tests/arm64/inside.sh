#!/bin/sh
# Runs a program of an arm64 root: `inside.sh ROOT QEMU CPUINFO FOLDER PROGRAM [ARGUMENT...]`, FOLDER being /mnt there.
# Stands in namespaces of its own (see namespaces.py): every mount, and qemu's registration, ends with its last process.
set -eu
root=$1 qemu=$2 cpuinfo=$3 folder=$4
shift 4

[ -x "$qemu" ] || { echo "$qemu: no such program; make test-arm64 fetches it" >&2; exit 125; }

binfmt=/proc/sys/fs/binfmt_misc
known=$(grep -s '^flags:.*F' $binfmt/qemu-aarch64 || true) # of the whole machine, seen before /proc is ours
mount -t proc proc /proc
if mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null; then
  # An ELF of 64 bits, little-endian, for machine 0xb7. F: the interpreter is opened now, outside the root.
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s\n' ":qemu-aarch64:M::$magic:$mask:$qemu:OCF" >$binfmt/register
elif [ -z "$known" ]; then
  echo 'programs for arm64 cannot be run by qemu in a namespace (Linux 6.7 and newer can), nor does this machine' \
    'run them by itself: apt-get install qemu-user-static, and restart systemd-binfmt' >&2
  exit 125
fi
[ "$root" = - ] && exit 0 # nothing but the look whether this works

if [ "$cpuinfo" != - ]; then # a root that is whole
  mount --rbind /sys "$root/sys"
  mount -t proc proc "$root/proc"
  mount -t tmpfs shm "$root/dev/shm"
  mount --bind "$cpuinfo" "$root/proc/cpuinfo" # qemu 7 shows this computer's; ONNX Runtime cannot read x86's on arm64
  mount --bind "$folder" "$root/mnt"
fi
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
chroot "$root" /bin/sh -c 'cd /mnt; exec "$@"' sh "$@" || exit $? # waited for: a first process deaf to signals
