// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/run/run_directory.h"

namespace yolodist::run {

using GetVariable = std::function<const char*(const char* name)>;

// This job for the scheduler, the same after a requeue: "slurm 123", in an array "slurm 120_4", with the
// cluster's name where SLURM gives it; "" outside of SLURM.
std::string scheduler_job(const GetVariable& get);

// What makes a later start the same run for --resume auto: the name that the user gave (in an array job one
// for each task), else the scheduler's job; "" where there is neither.
std::string lineage_of(const std::string& given_name, const GetVariable& get);

// The run in `folder` whose run.yaml has this lineage; of several the one written last. A run.yaml that
// cannot be read is passed over. Throws StorageError when the folder cannot be looked at.
std::optional<RunDirectory> find_lineage(const std::filesystem::path& folder, const std::string& lineage);

}  // namespace yolodist::run
