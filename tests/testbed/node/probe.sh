#!/bin/sh
# Says what keeps a node from running on this machine, one sentence a line; nothing when it can.
#   probe.sh            asks the machine
#   probe.sh inside     asks namespaces of their own, which this one makes
here="$(cd "$(dirname "$0")" && pwd)"

# try SENTENCE COMMAND...
try() {
  sentence=$1; shift
  "$@" >/dev/null 2>&1 || echo "$sentence"
}

overlay() {
  mkdir -p /run/overlay/lower /run/overlay/upper /run/overlay/work /run/overlay/merged &&
    mount -t overlay overlay \
      -o lowerdir=/run/overlay/lower,upperdir=/run/overlay/upper,workdir=/run/overlay/work /run/overlay/merged
}

nat() {
  nft -f - <<'END'
table ip probe {
  chain out {
    type nat hook output priority -100
    ip daddr 10.96.0.1 dnat to 10.200.0.1
  }
  chain post {
    type nat hook postrouting priority 100
    masquerade
  }
}
END
}

# A folder in the tree where memory is limited; version 2 is a single tree, version 1 has one for each controller.
cgroup() {
  tree=/sys/fs/cgroup
  if [ -e "$tree/cgroup.controllers" ]; then
    for controller in memory cpu pids; do
      grep -qw "$controller" "$tree/cgroup.subtree_control" || echo "+$controller" >"$tree/cgroup.subtree_control" || return 1
    done
  else
    tree=$tree/memory
  fi
  mkdir "$tree/mail-operator-probe-$$" && rmdir "$tree/mail-operator-probe-$$"
}

if [ "${1:-}" = inside ]; then
  try "the kernel has no veth devices (module veth)" ip link add probe0 type veth peer name probe1
  try "the kernel cannot translate addresses (modules nf_tables and nft_nat)" nat
  try "the kernel mounts no overlay file systems (module overlay)" overlay
  exit
fi

[ "$(uname -s)" = Linux ] || { echo "it needs Linux"; exit; }
[ "$(id -u)" = 0 ] || { echo "it needs root"; exit; }
for program in ip:iproute2 nft:nftables unshare:util-linux setpriv:util-linux apt-get:apt dpkg-deb:dpkg tar:tar cc:build-essential; do
  command -v "${program%:*}" >/dev/null || echo "${program%:*} is missing (Debian: apt-get install ${program#*:})"
done
/sbin/ldconfig --print-cache | grep -q 'libseccomp.so.2 ' || echo "libseccomp is missing (Debian: apt-get install libseccomp2)"
try "no cgroup with a memory limit can be made below /sys/fs/cgroup (in a container: --privileged --cgroupns=host)" cgroup
unshare --net --pid --fork --kill-child --mount --mount-proc "$here/enter.sh" "$here/probe.sh" inside 2>/dev/null ||
  echo "namespaces of their own cannot be made or set up (in a container: --privileged)"
