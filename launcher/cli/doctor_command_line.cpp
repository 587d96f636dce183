// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/doctor_command_line.h"

#include <sstream>

#include "launcher/cli/description.h"

namespace yolodist::cli {
namespace {

namespace po = boost::program_options;

po::options_description describe(DoctorCommandLine& line) {
  po::options_description asked = group("Asked");
  add(asked, "device", text(line.device, "cpu|cuda|0,1"),
      "what has to be there; '' = a GPU where there is one, else the CPU");
  add(asked, "json", flag(line.json), "one JSON document on standard output");
  add(asked, "timeout", value(line.timeout_seconds, "SECONDS"),
      "under mpirun or srun: a rank that does not answer for so long is named, and the end is 76");
  po::options_description all = group(
      "yolodist doctor [options]\n\n"
      "Looks at this host: devices, driver, versions, memory, /dev/shm, cores, limits, disk. Each line is "
      "ok,\n"
      "warn or bad, with what to do. Starts no MPI and opens no CUDA.\n"
      "Under mpirun or srun, started as a training would be: looks at the whole allocation, a row a rank,\n"
      "and compares devices, cores, network, versions, clocks and the speed of an all-reduce");
  all.add(asked).add(describe_other(line.wants_help, line.wants_version));
  return all;
}

}  // namespace

DoctorCommandLine parse_doctor(const std::vector<std::string>& words) {
  DoctorCommandLine line;
  const po::options_description description = describe(line);
  parse(words, description, {.command = "doctor", .known = {}, .aliases = {}, .refused = {}, .word = ""});
  require_at_least("--timeout", line.timeout_seconds, 1);
  return line;
}

std::string doctor_help() {
  DoctorCommandLine line;
  std::ostringstream stream;
  stream << describe(line);
  stream << "\nExit codes: 0 training can run here, 64 usage, 69 it cannot: no such device, or no worker "
            "program;\n76 a rank does not answer.\n";
  return stream.str();
}

}  // namespace yolodist::cli
