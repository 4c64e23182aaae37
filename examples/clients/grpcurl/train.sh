#!/usr/bin/env bash
# Submits a run, follows it to its end and cancels it on Ctrl-C, using only grpcurl: the server describes itself.
#
#   bash train.sh 127.0.0.1:7070 MODEL_FOLDER DATASET OUTPUT_FOLDER [RECIPE_FILE]
#
# GRPCURL names the program, if it is not on PATH. The pool's key is GRADPOOL_KEY, in the file GRADPOOL_KEY_FILE, or that
# of a pool of this machine; GRADPOOL_TLS_CA, GRADPOOL_TLS_CERT and GRADPOOL_TLS_KEY name certificates, if it has some.
set -euo pipefail
address=$1 model=$2 dataset=$3 output=$4
recipe=$(cat "${5:-"$(dirname "$0")/../recipe.json"}")
problem=$(mktemp)
trap 'rm -f "$problem"' EXIT

# grpcurl puts the value of a variable in a header itself, so that no command line shows the key.
key_file=${GRADPOOL_KEY_FILE:-${GRADPOOL_HOME:-$HOME/.gradpool}/pools/${address##*:}/key}
[[ -n ${GRADPOOL_KEY:-} || ! -e $key_file ]] || GRADPOOL_KEY=$(<"$key_file")
export GRADPOOL_KEY=${GRADPOOL_KEY:-}
key=(-expand-headers -H 'authorization: Bearer ${GRADPOOL_KEY}')

security=(-plaintext)
[[ -z ${GRADPOOL_TLS_CA:-} ]] || security=(-cacert "$GRADPOOL_TLS_CA" -cert "$GRADPOOL_TLS_CERT" -key "$GRADPOOL_TLS_KEY")

call() { "${GRPCURL:-grpcurl}" "${key[@]}" "${security[@]}" -d "$2" "$address" "gradpool.v1.RunService/$1" 2>"$problem"; }

# Ends the script unless the call may be repeated: 64 and more is a gRPC status (CANCELLED 1, DEADLINE_EXCEEDED 4,
# UNAVAILABLE 14), 130 an interrupt; "Failed to dial" means that the coordinator is down.
mayTryAgain() {
  case $1 in
    65 | 68 | 78 | 130) ;;
    *) grep -q "Failed to dial" "$problem" || { cat "$problem" >&2 && exit 1; } ;;
  esac
  sleep 1
}

# Repeats a write until it is answered: with the same request_id it has one effect, however often it arrives.
retried() { until call "$@"; do mayTryAgain $?; done; }

# The value of a field in a line of JSON.
field() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p"; }
uuid() { cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen; }

spec='{"model_id":"'$model'","dataset":["'$dataset'"],"output_dir":"'$output'","recipe":'$recipe'}'
answer=$(retried SubmitRun '{"request_id":"'"$(uuid)"'","spec":'"$spec"'}')
run=$(field runId <<<"$answer" | head -n 1)
echo "run $run"
trap 'retried CancelRun "{\"request_id\":\"$(uuid)\",\"run_id\":\"$run\"}" >/dev/null &' INT

# Follows from the last step seen; WatchRun ends when the run has ended, or breaks.
step=0 state=
until [[ $state =~ COMPLETED|FAILED|CANCELLED ]]; do
  exec 3< <(call WatchRun '{"run_id":"'"$run"'","after_step":'"$step"'}')
  watching=$! message=
  while IFS= read -r line <&3; do
    case $line in
      '  "run": {' | '  "step": {') message=$line ;;
      '  "'*) message= ;;
      '    "state": '*) [[ $message == *run* ]] && state=$(field state <<<"$line") && echo "$state" ;;
      '    "step": '*) [[ $message == *step* ]] && step=$(field step <<<"$line") ;;
      '    "loss": '*) [[ $message == *step* ]] && echo "step $step loss $(field loss <<<"$line")" ;;
    esac
  done
  wait "$watching" || mayTryAgain $?
done
[[ $state == RUN_STATE_COMPLETED ]]
