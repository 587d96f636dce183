// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace yolodist::cli {

// What `yolodist doctor …` asks for.
struct DoctorCommandLine {
  std::string device;  // what has to be there: "" = anything, cpu, cuda, 0,1
  bool json = false;
  int timeout_seconds = 150;  // for each rank's answer, under mpirun or srun
  bool wants_help = false;
  bool wants_version = false;
};

// `words` are those after the command. Throws UsageError.
DoctorCommandLine parse_doctor(const std::vector<std::string>& words);

std::string doctor_help();

}  // namespace yolodist::cli
