#!/usr/bin/env bash
# A SLURM of this machine's own for the tests: munged, slurmctld and two slurmd as nodes, on the loopback only, without
# systemd and without accounting. `start.sh DIR` keeps everything below DIR; `stop.sh DIR` ends it.
# Exit code 77: it cannot be had here, and the last line says why.
set -euo pipefail
dir=$(realpath -m "${1:?a folder for the state of the cluster}")
nodes=${NODES:-2}
cannot() { echo "$1" >&2; exit 77; }

[ "$(id -u)" = 0 ] || cannot "SLURM's daemons are started by root only"
host=$(hostname -s)
getent hosts "$host" >/dev/null || cannot "the name of this machine, $host, does not resolve"
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    command -v apt-get >/dev/null || cannot "slurmctld, slurmd and munged are not installed, and there is no apt-get"
    apt-get update -qq >/dev/null || true
    # RUNLEVEL: the packages would start services of their own.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null ||
        cannot "the packages slurm-wlm and munge cannot be installed here"
fi
conf=/etc/slurm/slurm.conf
[ ! -e "$conf" ] || [ "$(readlink -f "$conf")" = "$dir/slurm.conf" ] || cannot "$conf belongs to another cluster"

mkdir -p "$dir"/{pid,log,state,munge}
chmod 755 "$dir" "$dir"/*
for parent in "$(dirname "$dir")"; do [ -x "$parent" ] || cannot "$parent is not to be entered"; done

# --- munge with a key and a socket of its own
if [ ! -s "$dir/munge/munge.key" ]; then (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/munge.key"); fi
chown -R munge:munge "$dir/munge"
chmod 400 "$dir/munge/munge.key"
runuser -u munge -- munged --key-file="$dir/munge/munge.key" --socket="$dir/munge/munge.socket" \
    --pid-file="$dir/munge/munged.pid" --log-file="$dir/munge/munged.log" --seed-file="$dir/munge/seed" ||
    cannot "munged does not start: $(tail -n 1 "$dir/munge/munged.log" 2>/dev/null)"
for _ in $(seq 50); do [ -s "$dir/munge/munged.pid" ] && break || sleep 0.1; done
cp "$dir/munge/munged.pid" "$dir/pid/munged.pid"

# --- configuration
# The profile's requests must fit; nothing here needs as much.
memory=64000
cpus=$(nproc)
cat >"$dir/slurm.conf" <<CONF
ClusterName=wsitest
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16917
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile=$dir/pid/slurmctld.pid
SlurmctldLogFile=$dir/log/slurmctld.log
StateSaveLocation=$dir/state
SlurmdPidFile=$dir/pid/slurmd-%n.pid
SlurmdLogFile=$dir/log/slurmd-%n.log
SlurmdSpoolDir=$dir/spool-%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=2,sched_min_interval=200000
# Without a slurmdbd, squeue is what tells how a job ended.
MinJobAge=600
KillWait=3
InactiveLimit=0
SlurmdTimeout=20
SlurmctldTimeout=20
BatchStartTimeout=10
AccountingStorageType=accounting_storage/none
# No cgroups here: memory is looked at every second, and a job above what it asked for is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/ended.txt
GresTypes=gpu
CONF
: >"$dir/gres.conf"
for node in $(seq "$nodes"); do
    echo "NodeName=wsi$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((16920 + node)) CPUs=$cpus Boards=1" \
        "SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory Gres=gpu:fake:1 State=UNKNOWN"
    # A GPU that is only counted is refused; any character device will do.
    echo "NodeName=wsi$node Name=gpu Type=fake File=/dev/null" >>"$dir/gres.conf"
done >>"$dir/slurm.conf"
cat >>"$dir/slurm.conf" <<CONF
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
CONF
touch "$dir/log/ended.txt"
mkdir -p /etc/slurm
ln -sfn "$dir/slurm.conf" "$conf"
ln -sfn "$dir/gres.conf" /etc/slurm/gres.conf

# --- daemons
slurmctld -i
for node in $(seq "$nodes"); do slurmd -N "wsi$node"; done
for _ in $(seq 150); do
    [ "$(sinfo -h -N -p cpu -t idle -o %N 2>/dev/null | wc -l)" = "$nodes" ] && exit 0
    sleep 0.1
done
sinfo -N -l >&2 || true
echo "SLURM did not come up; its logs are in $dir/log" >&2
exit 1
