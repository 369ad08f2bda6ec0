#!/bin/sh
# The first process of the node's namespaces (`unshare --net --pid --mount`): sets them up, runs a program in them, and ends
# with it. What the machine itself has stays as it is: files are covered by mounts that nobody else sees, and all of it, with
# every process, is gone when this one is.
#   enter.sh PROGRAM [ARGUMENT ...]
set -eu

# Everything the node writes is kept in memory: overlay mounts work there on any machine, and a sync costs nothing.
mount -t tmpfs -o mode=755 tmpfs /run
# Some paths of the kubelet and of CNI cannot be chosen.
for path in /var/lib/kubelet /var/lib/cni /var/log; do
  mkdir -p "$path" "/run/in$path"
  mount --bind "/run/in$path" "$path"
done
mkdir -p /run/tmp /run/sysctl
export TMPDIR=/run/tmp

# The kubelet sets these for the whole machine, unless they are what it wants already. So that is what it reads.
pin() {
  [ "$(cat "/proc/sys/$1")" = "$2" ] && return 0
  file="/run/sysctl/$(echo "$1" | tr / -)"
  echo "$2" >"$file"
  mount --bind "$file" "/proc/sys/$1"
}
pin vm/overcommit_memory 1
pin vm/panic_on_oom 0
pin kernel/panic 10
pin kernel/panic_on_oops 1
pin kernel/keys/root_maxkeys 1000000
pin kernel/keys/root_maxbytes 25000000

# The node's address needs no device: there is no way out of this network, and Pods come in by their own links.
ip link set lo up
ip address add 10.200.0.1/32 dev lo
# Services are reached from beside the Pods, too: kube-proxy rewrites what is on its way, so there has to be a way.
ip route add 10.96.0.0/16 dev lo src 10.200.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward

# Not `exec`: the first process has to collect processes that lost their parent, and a shell does.
"$@"
exit $?
