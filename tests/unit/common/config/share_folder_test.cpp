// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/config/share_folder.h"

#include <stdlib.h>

#include <gmock/gmock.h>

#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist::config {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::HasSubstr;

// Sets YOLODIST_SHARE for the length of a test.
class ShareVariable {
 public:
  explicit ShareVariable(const fs::path& value) { ::setenv("YOLODIST_SHARE", value.c_str(), 1); }
  ~ShareVariable() { ::unsetenv("YOLODIST_SHARE"); }
};

const fs::path shipped = fs::path(YOLODIST_SOURCE_DIR) / "share/yolodist";

TEST(ShareFolder, IsFoundAboveTheProgram) {
  if (fs::path(YOLODIST_BINARY_DIR).lexically_relative(YOLODIST_SOURCE_DIR).begin()->string() == "..") {
    GTEST_SKIP() << "the build folder is not inside the source tree";
  }
  ::unsetenv("YOLODIST_SHARE");
  EXPECT_TRUE(fs::equivalent(share_folder(), shipped));
}

TEST(ShareFolder, IsFoundByTheVariable) {
  const ShareVariable variable(shipped);
  EXPECT_TRUE(fs::equivalent(share_folder(), shipped));
}

TEST(ShareFolder, AWrongVariableIsAnError) {
  const TemporaryFolder folder;
  const ShareVariable variable(folder.path());
  EXPECT_THAT(thrown<DataError>([] { share_folder(); }),
              AllOf(HasSubstr("YOLODIST_SHARE"), HasSubstr(folder.path().string())));
}

TEST(FindShipped, TakesNamesWithAndWithoutEnding) {
  const ShareVariable variable(shipped);
  EXPECT_EQ(find_shipped("yolov5n", "models"), shipped / "models/yolov5n.yaml");
  EXPECT_EQ(find_shipped("yolov5x6.yaml", "models"), shipped / "models/yolov5x6.yaml");
  EXPECT_EQ(find_shipped("hyp.scratch-low", "hyps"), shipped / "hyps/hyp.scratch-low.yaml");
  EXPECT_EQ(find_shipped("hyp.VOC.yaml", "hyps"), shipped / "hyps/hyp.VOC.yaml");
}

TEST(FindShipped, TakesPaths) {
  const ShareVariable variable(shipped);
  const TemporaryFolder folder;
  const fs::path mine = folder.write("yolov5n.yaml", "nc: 1\n");
  EXPECT_EQ(find_shipped(mine.string(), "models"), mine);
}

TEST(FindShipped, NamesTheNearest) {
  const ShareVariable variable(shipped);
  EXPECT_THAT(thrown<DataError>([] { find_shipped("yolo5n", "models"); }),
              AllOf(HasSubstr("'yolo5n'"), HasSubstr("Did you mean yolov5n?")));
  EXPECT_THAT(thrown<DataError>([] { find_shipped("no/such/yolov5s.yaml", "models"); }),
              HasSubstr("Did you mean yolov5s?"));
  EXPECT_THAT(thrown<DataError>([] { find_shipped("", "models"); }), HasSubstr("yolov5m6"));
}

}  // namespace
}  // namespace yolodist::config
