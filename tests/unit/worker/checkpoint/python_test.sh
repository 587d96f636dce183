#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
# Python's torch reads our checkpoints with weights_only=True, and we read Python's. Needs a Python with torch:
# $YOLODIST_PYTHON_TORCH, or python3; else skipped (77). The argument is the program checkpoint_sample.
set -euo pipefail
sample=$1
python=${YOLODIST_PYTHON_TORCH:-python3}
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "skipped: $python cannot import torch (set YOLODIST_PYTHON_TORCH to a Python that can)"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$sample" write "$folder/ours.pt"
"$python" "$(dirname "$0")/python_test.py" "$folder"

# What Python wrote, as we read it: one expected text for each file.
for name in state_dict buffer_views wrapped saved_again; do
  if ! "$sample" read "$folder/$name.pt" > "$folder/$name.got"; then
    echo "$name.pt: $(cat "$folder/$name.got")"
    exit 1
  fi
  diff "$folder/$name.expected" "$folder/$name.got"
done
code=0
"$sample" read "$folder/module.pt" > "$folder/module.got" || code=$?
cat "$folder/module.got"
[[ $code == 65 ]] && grep -q 'torch.nn.modules' "$folder/module.got"
