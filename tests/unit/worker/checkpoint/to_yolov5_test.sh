#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# There and back: we read what YOLOv5 saves, and YOLOv5 reads what share/yolodist/tools/to_yolov5.py makes of ours.
# Needs a Python with torch and yolov5, $YOLODIST_PYTHON_PEER; else skipped (77). The argument is checkpoint_sample.
set -euo pipefail
sample=$1
python=${YOLODIST_PYTHON_PEER:-python3}
if ! "$python" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") and u.find_spec("yolov5")))'; then
  echo "skipped: $python has no torch and yolov5 (set YOLODIST_PYTHON_PEER to a Python that has)"
  exit 77
fi
here=$(cd "$(dirname "$0")" && pwd)
source_folder=$(cd "$here/../../../.." && pwd)
to_yolov5=$source_folder/share/yolodist/tools/to_yolov5.py
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PYTHONDONTWRITEBYTECODE=1

# Files as YOLOv5's train.py saves them, through our reader and writer, and back.
"$python" "$here/to_yolov5_test.py" make "$folder"
for name in protocol2 protocol4; do
  "$sample" convert "$folder/$name.pt" "$folder/$name-ours.pt"
done
"$python" "$to_yolov5" "$folder/protocol2-ours.pt" -o "$folder/back.pt"
"$python" "$here/to_yolov5_test.py" compare "$folder"

# What it refuses, in one line each.
expect_refused() {
  local code=0
  "$python" "$to_yolov5" "${@:3}" 2> "$folder/refusal" || code=$?
  cat "$folder/refusal"
  [[ $code == "$1" && $(wc -l < "$folder/refusal") == 1 ]] && grep -q "$2" "$folder/refusal"
}
head -c 3000 "$folder/protocol2-ours.pt" > "$folder/short.pt"
expect_refused 65 'needs no conversion' "$folder/protocol2.pt"
expect_refused 65 'damaged' "$folder/short.pt"
expect_refused 65 'does not exist' "$folder/none.pt"
expect_refused 64 'no checkout' "$folder/protocol2-ours.pt" --yolov5 "$folder"
expect_refused 64 'would replace' "$folder/back.pt" -o "$folder/back.pt"

# The checkpoint of a real training, where the product is built: fp32 weights, rounded once; then YOLOv5's own val.
if [[ -x ${YOLODIST_BIN:-}/yolodist ]]; then
  cp -r "$source_folder/share/yolodist/sample" "$folder/sample"  # YOLOv5 writes caches beside the labels
  sed -i "s|^path:.*|path: $folder/sample|" "$folder/sample/sample.yaml"
  "$YOLODIST_BIN/yolodist" train --data "$folder/sample/sample.yaml" --cfg yolov5n --img 128 --batch 4 --epochs 2 \
    --max-iterations 6 --device cpu --project "$folder/runs" > "$folder/train.log" 2>&1 || { cat "$folder/train.log"; exit 1; }
  "$python" "$to_yolov5" "$folder/runs/exp/weights/last.pt"
  "$python" "$here/to_yolov5_test.py" trained "$folder/runs/exp/weights"
  (cd "$folder" && "$python" -m yolov5.val --weights runs/exp/weights/last-yolov5.pt --data sample/sample.yaml --img 128 \
    --batch 4 --workers 0 --device cpu --project val > val.log 2>&1) || { cat "$folder/val.log"; exit 1; }
  grep -E ' all +8 +299 ' "$folder/val.log"
fi
