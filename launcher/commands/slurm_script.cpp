// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands/slurm_script.h"

#include <vector>

#include "common/base/duration.h"
#include "common/base/text.h"
#include "launcher/cli/options.h"

namespace yolodist::commands {
namespace {

// What does not depend on the job. Measured with SLURM 22.05: a program in the foreground delays the traps
// until it ends, hence the background and the loop around wait, which returns at every trapped signal; srun
// and Open MPI's mpirun both hand SIGUSR1 on to every rank on every node; a job is COMPLETED whatever the
// ranks said unless the script ends with their code; scontrol requeue ends the script with SIGTERM.
constexpr const char* body = R"script(
if [ "$LAUNCH" != srun ] && [ "$LAUNCH" != mpirun ]; then
  echo "LAUNCH is '$LAUNCH', should be srun or mpirun" >&2
  exit 64
fi
RESTARTS=${SLURM_RESTART_COUNT:-0}
LOGS=logs/$SLURM_JOB_ID/start-$((RESTARTS + 1))   # what each rank prints
mkdir -p "$LOGS" || exit 74
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then   # older SLURM does not tell
  END=$(squeue --noheader --jobs "$SLURM_JOB_ID" --format %e 2>/dev/null)
  [ -n "$END" ] && END=$(date -d "$END" +%s 2>/dev/null) && export SLURM_JOB_END_TIME=$END
fi
unset SLURM_TRES_PER_TASK   # SLURM from 23.11 on says by it what SRUN_CPUS_PER_TASK says below, and minds both

RUN=
IS_CUT_SHORT=
forward() {
  WAITS=yes
  [ -z "$RUN" ] || kill -USR1 "$RUN" 2>/dev/null   # srun and mpirun hand it on to every rank
}
trap forward USR1
trap 'IS_CUT_SHORT=yes; forward' TERM   # scancel, or preemption: then SLURM requeues, if at all

echo "$(date '+%F %T') job $SLURM_JOB_ID, start $((RESTARTS + 1)): $SLURM_NTASKS ranks on $SLURM_JOB_NODELIST by $LAUNCH," \
  "output in $LOGS"
if [ "$LAUNCH" = srun ]; then
  export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}   # srun does not take it from sbatch
  srun --mpi=pmix --kill-on-bad-exit=1 --output="$LOGS/rank-%t.log" \
    "$YOLODIST" train --resume auto "${OPTIONS[@]}" "$@" &
else
  # Open MPI starts its daemons by srun, one a node: each is to have all cores of the node that are ours.
  export SRUN_CPUS_PER_TASK=$((${SLURM_CPUS_PER_TASK:-1} * SLURM_NTASKS_PER_NODE))
  # Without these mpirun does not notice for minutes that a host is gone; with them it ends (205).
  export OMPI_MCA_oob_tcp_keepalive_time=15 OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=3
  mpirun --bind-to none --map-by "ppr:$SLURM_NTASKS_PER_NODE:node" -np "$SLURM_NTASKS" \
    ${SLURM_JOB_END_TIME:+-x SLURM_JOB_END_TIME} --output-filename "$LOGS" \
    "$YOLODIST" train --resume auto "${OPTIONS[@]}" "$@" &
fi
RUN=$!
WAITS=yes
while [ -n "$WAITS" ]; do               # once more after every signal
  WAITS=
  wait "$RUN"
  CODE=$?
done
if [ "$CODE" = 0 ] && [ "$LAUNCH" = srun ] && [ ! -s "$LOGS/rank-0.log" ]; then
  CODE=69   # srun says 0, too, when it cannot start its tasks
fi
echo "$(date '+%F %T') exit code $CODE"

case $CODE in
  75) AGAIN=yes ;;               # saved before its end
  76 | 137 | 205) AGAIN=yes ;;   # a host was lost (137, 205: by mpirun), perhaps before SLURM knows: the last checkpoint is good
  *) AGAIN= ;;
esac
if [ -n "$AGAIN" ] && [ -z "$IS_CUT_SHORT" ]; then
  if [ "$RESTARTS" -ge "$MAX_REQUEUES" ]; then
    echo "requeued $RESTARTS times already: not again (MAX_REQUEUES); submit it with --resume RUN to go on" >&2
  elif scontrol requeue "$SLURM_JOB_ID"; then
    sleep 60                            # SLURM ends this script
  else
    echo "not requeued: submit it with --resume RUN to go on" >&2
  fi
fi
exit "$CODE"
)script";

std::string directive(const char* name, const std::string& value) {
  return value.empty() ? "" : cat("#SBATCH --", name, "=", value, "\n");
}

std::string words_text(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) {
    quoted.push_back(cli::shell_word(word));
  }
  return join(quoted, " ");
}

// The command line that prints this script.
std::string printed_by(const cli::SlurmJob& job) {
  const cli::SlurmJob usual;
  std::vector<std::string> words = {"yolodist", "slurm", "--nodes", cat(job.nodes), "--gpus", cat(job.gpus)};
  const auto add = [&words](const char* option, const std::string& value, const std::string& unless) {
    if (value != unless) {
      words.insert(words.end(), {option, value});
    }
  };
  add("--cpus-per-gpu", cat(job.cpus_per_gpu), cat(usual.cpus_per_gpu));
  add("--mem", job.mem, "");
  add("--time", to_string(job.time), to_string(usual.time));
  add("--partition", job.partition, "");
  add("--account", job.account, "");
  add("--job-name", job.job_name, usual.job_name);
  add("--signal-before", cat(job.signal_before_s), cat(usual.signal_before_s));
  add("--launch", job.launch, usual.launch);
  add("--program", job.program, "");
  return words_text(words);
}

// mpirun's connections between the nodes are there before train can choose.
std::string mpirun_interfaces(const std::string& net_if) {
  const std::string value = cli::shell_word(net_if.empty() ? "ib0" : net_if);
  return cat(net_if.empty() ? "# " : "", "export OMPI_MCA_oob_tcp_if_include=", value,
             " PRTE_MCA_prte_if_include=", value, "   # of Open MPI 4, of Open MPI 5\n");
}

std::string counted(int n, const char* thing) {
  return cat(n, " ", thing, n == 1 ? "" : "s");
}

}  // namespace

std::string slurm_script(const cli::SlurmJob& job) {
  return cat(
      "#!/bin/bash\n", "# Trains on ", counted(job.nodes, "node"), " with ", counted(job.gpus, "GPU"),
      job.nodes > 1 ? " each" : "", ", a rank for each GPU. Printed by\n#   ", printed_by(job),
      "\n# Its arguments are options of train:  sbatch SCRIPT --data data.yaml --cfg yolov5s --img 1280\n"
      "# Before its time limit, and where SLURM wants the nodes back, it saves, is requeued, and goes on.\n",
      directive("job-name", job.job_name), directive("partition", job.partition),
      directive("account", job.account), directive("nodes", cat(job.nodes)),
      directive("ntasks-per-node", cat(job.gpus)),  // one a GPU
      directive("gpus-per-node", cat(job.gpus)), directive("cpus-per-task", cat(job.cpus_per_gpu)),
      directive("mem", job.mem), directive("time", to_string(job.time)),
      directive("signal", cat("B:USR1@", job.signal_before_s)),
      "#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --output=%x-%j.log\n\n",
      "# ---- for you to edit; LAUNCH, YOLODIST and MAX_REQUEUES may also come from sbatch's environment\n",
      "# module load openmpi                 # the MPI that yolodist was built with\n",
      "# Nodes with several networks: --net-if ib0 among OPTIONS, for MPI and NCCL; and for mpirun itself\n",
      mpirun_interfaces(job.net_if), "YOLODIST=${YOLODIST:-", cli::shell_word(job.program),
      "}\nLAUNCH=${LAUNCH:-", job.launch,
      "}                  # srun (`srun --mpi=list` has pmix) or mpirun\n",
      "MAX_REQUEUES=${MAX_REQUEUES:-20}\n", "OPTIONS=(", words_text(job.train_words),
      ")                               # of train; those after SCRIPT come on top\n", "# ----\n", body);
}

}  // namespace yolodist::commands
