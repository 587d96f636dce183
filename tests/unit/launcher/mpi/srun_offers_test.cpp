// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpi/srun_offers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/text.h"
#include "tests/support/temporary_folder.h"

namespace yolodist::mpi {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

// Both forms as public issues of SLURM's users show them.
constexpr const char* now =
    "MPI plugin types are...\n\tnone\n\tpmix\n\tpmi2\nspecific pmix plugin versions available: pmix_v4\n";
constexpr const char* before = "srun: MPI types are...\nsrun: none\nsrun: openmpi\nsrun: pmi2\n";

TEST(SrunOffers, AreReadInBothForms) {
  EXPECT_THAT(read_srun_offers(now), ElementsAre("none", "pmix", "pmi2"));
  EXPECT_THAT(read_srun_offers(before), ElementsAre("none", "openmpi", "pmi2"));
  EXPECT_THAT(read_srun_offers("srun: error: Unable to contact slurm controller\n"), IsEmpty());
  EXPECT_THAT(read_srun_offers(""), IsEmpty());
}

class AskSrun : public testing::Test {
 protected:
  std::string program(const std::string& text) {
    const std::filesystem::path file = folder_.write("srun", cat("#!/bin/sh\n", text));
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file.string();
  }
  test::TemporaryFolder folder_;
};

TEST_F(AskSrun, ReadsWhatItPrintsOnEitherOutput) {
  const std::string text =
      program("[ \"$*\" = --mpi=list ] && printf 'MPI types are...\\n none\\n pmix\\n' >&2\n");
  EXPECT_THAT(ask_srun_offers(text, 20s), ElementsAre("none", "pmix"));
}

TEST_F(AskSrun, ThatDoesNotAnswerIsGivenUp) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(ask_srun_offers(program("exec sleep 30\n"), 300ms), IsEmpty());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

TEST_F(AskSrun, ThatIsNotThereOffersNothing) {
  EXPECT_THAT(ask_srun_offers((folder_ / "nothing").string(), 1s), IsEmpty());
}

}  // namespace
}  // namespace yolodist::mpi
