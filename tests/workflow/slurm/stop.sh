#!/usr/bin/env bash
# Ends the daemons that `start.sh DIR` started, by the process ids that they left in DIR, and what they left in /etc.
set -uo pipefail
dir=$(realpath -m "${1:?the folder of the cluster}")

ours() { [ "$(readlink -f "/etc/slurm/$1")" = "$dir/$1" ]; }
if ours slurm.conf; then
    timeout 5 squeue -h -o %A 2>/dev/null | sort -u | while read -r job; do timeout 5 scancel "$job"; done
    for _ in $(seq 30); do [ -z "$(timeout 5 squeue -h -t R,CG 2>/dev/null)" ] && break || sleep 0.2; done
fi
for file in "$dir"/pid/slurmd-*.pid "$dir/pid/slurmctld.pid" "$dir/pid/munged.pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    name=$(basename "$file" .pid)
    # A daemon that was killed by a test has left its file, and its number may be another's by now.
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${name%%-*}" ]; then
        kill "$pid"
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
        kill -9 "$pid" 2>/dev/null
    fi
    rm -f "$file"
done
for name in slurm.conf gres.conf; do ours "$name" && rm -f "/etc/slurm/$name"; done
exit 0
