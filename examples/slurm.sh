#!/bin/bash
# A study on an allocation of SLURM. Ray starts on its nodes, the study runs on them, and both end with the job:
#
#     sbatch examples/slurm.sh shop.yaml
#     sbatch --nodes=4 --gpus-per-node=2 examples/slurm.sh shop.yaml --profile cluster
#
# All nodes need the environment of this project (set TUNER_ENV to its folder) and see the working folder at the same
# path. Submit a job again to continue its study. SLURM interrupts the driver five minutes before the time limit.
#SBATCH --job-name=tuner
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=B:INT@300
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: sbatch examples/slurm.sh STUDY.yaml [options of tuner run]" >&2; exit 2; }
[ -z "${TUNER_ENV:-}" ] || export PATH="$TUNER_ENV/bin:$PATH"

# Only the processes of this job know the token. Other users of the nodes can reach Ray's ports, but not use them.
umask 077
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# Each job has its own ports, and a folder of its own on each node. So several jobs can share a node.
head=$(hostname)
ip=$(hostname -I 2>/dev/null | cut -d ' ' -f 1)
port=$((20000 + SLURM_JOB_ID % 20000))
address=${ip:-127.0.0.1}:$port
common="--block --disable-usage-stats --num-cpus=${SLURM_CPUS_PER_TASK:-1} --num-gpus=${SLURM_GPUS_ON_NODE:-0} \
    --dashboard-agent-listen-port=0 --min-worker-port=0 --max-worker-port=0"
prepare='folder=$(mktemp -d /tmp/tuner-XXXXXX) && trap "rm -rf $folder" EXIT && cd "$folder"'

srun --nodes=1 --ntasks=1 --nodelist="${SLURMD_NODENAME:-$head}" --overlap bash -c \
    "$prepare && ray start --head --node-ip-address=${ip:-127.0.0.1} --port=$port --temp-dir=\$folder/ray \
    --include-dashboard=false --ray-client-server-port=$((port + 1)) $common" &
if [ "$SLURM_NNODES" -gt 1 ]; then
    until (exec 3<>"/dev/tcp/${address/:/\/}") 2>/dev/null; do sleep 1; done
    srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="${SLURMD_NODENAME:-$head}" --overlap \
        bash -c "$prepare && for attempt in 1 2 3; do
            ray start --address=$address --temp-dir=\$folder/ray $common && break
        done" &
fi
until (exec 3<>"/dev/tcp/${address/:/\/}") 2>/dev/null; do sleep 1; done

# The driver takes the place of this script. So the job has its exit code, and SLURM's signal reaches it.
exec tuner run "$@" --address "$address"
