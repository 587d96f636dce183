// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/atomic_file.h"
#include "common/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/worker/checkpoint/zip_builder.h"
#include "worker/checkpoint/checkpoint.h"

namespace yolodist::checkpoint {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string why_refused(const std::filesystem::path& path) {
  try {
    read_checkpoint(path);
  } catch (const DataError& error) {
    EXPECT_THAT(error.one_line(), AllOf(HasSubstr(path.filename().string()), Not(HasSubstr("\n"))));
    return error.one_line();
  }
  return "not refused";
}

std::string refused(std::string_view content) {
  const test::TemporaryFolder folder;
  return why_refused(folder.write("x.pt", content));
}

// A checkpoint file with this pickle (without the protocol and the final stop)
// and one record of four floats.
std::string with_pickle(std::string_view pickle) {
  ZipBuilder zip;
  zip.add("archive/data.pkl", std::string("\x80\x02") + std::string(pickle) + ".");
  zip.add("archive/data/0", std::string(16, '\1'));
  zip.add("archive/version", "3\n");
  return zip.finished();
}

// {"w": tensor} with these parts of the tensor's description, as pickle text.
std::string state_dict(std::string_view numel, std::string_view offset, std::string_view size,
                       std::string_view stride, std::string_view key = "0",
                       std::string_view type = "FloatStorage") {
  std::string text = "}U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n";
  text.append(type).append("\nU").push_back(static_cast<char>(key.size()));
  text.append(key)
      .append(
          "U\x03"
          "cpu")
      .append(numel)
      .append("tQ")
      .append(offset);
  text.append("(").append(size).append("t(").append(stride).append(
      "t\x89"
      "ccollections\nOrderedDict\n)RtRs");
  return text;
}

TEST(RefusedFiles, Missing) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(why_refused(folder / "none.pt"), HasSubstr("No such file"));
}
TEST(RefusedFiles, Folder) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "x.pt");
  EXPECT_THAT(why_refused(folder / "x.pt"), HasSubstr("is a folder"));
}
TEST(RefusedFiles, Empty) {
  EXPECT_THAT(refused(""), HasSubstr("is empty"));
}
TEST(RefusedFiles, Html) {
  EXPECT_THAT(refused("\n<!DOCTYPE html><html>404</html>"), HasSubstr("HTML page"));
}
TEST(RefusedFiles, HtmlAndXmlAfterAByteOrderMark) {
  EXPECT_THAT(refused("\xEF\xBB\xBF<html lang=en>Sign in</html>"), HasSubstr("HTML page"));
  EXPECT_THAT(refused("<?xml version=\"1.0\"?><Error>NoSuchKey</Error>"), HasSubstr("XML document"));
}
TEST(RefusedFiles, LfsPointer) {
  EXPECT_THAT(refused("version https://git-lfs.github.com/spec/v1\noid "
                      "sha256:12\nsize 9\n"),
              HasSubstr("git lfs pull"));
}
TEST(RefusedFiles, Text) {
  EXPECT_THAT(refused("epoch: 3\n"), HasSubstr("text file"));
}
TEST(RefusedFiles, Binary) {
  EXPECT_THAT(refused(std::string("\x7f"
                                  "ELF\x02\x01\x00\x00",
                                  8)),
              HasSubstr("no zip file"));
}
TEST(RefusedFiles, LegacyFormat) {
  EXPECT_THAT(refused("\x80\x02\x8a\nl\xfc"), HasSubstr("before 1.6"));
}

TEST(RefusedFiles, UnknownGlobals) {
  EXPECT_THAT(refused(with_pickle("cposix\nsystem\nU\x02ls\x85R")), HasSubstr("posix.system"));
  EXPECT_THAT(refused(with_pickle("}U\x01wcbuiltins\neval\nU\x01x\x85Rs")), HasSubstr("builtins.eval"));
  EXPECT_THAT(refused(with_pickle("}U\x01wctorch.nn.modules.conv\nConv2d\n)\x81}bs")),
              HasSubstr("state_dict()"));
}
TEST(RefusedFiles, NoWeights) {
  EXPECT_THAT(refused(with_pickle("}U\x05"
                                  "epochK\x03s")),
              HasSubstr("no weights"));
  EXPECT_THAT(refused(with_pickle("]")), HasSubstr("no dict"));
  EXPECT_THAT(refused(with_pickle("}U\x05modelK\x03s")), HasSubstr("no dict of tensors"));
}
TEST(RefusedFiles, NewerSchema) {
  EXPECT_THAT(refused(with_pickle("}(U\x06schemaK\x02U\x05model}u")), HasSubstr("schema 2"));
}
TEST(RefusedFiles, OtherZipFiles) {
  ZipBuilder zip;
  zip.add("readme.txt", "hello");
  EXPECT_THAT(refused(zip.finished()), HasSubstr("not a PyTorch checkpoint"));
  EXPECT_THAT(refused(ZipBuilder().finished()), HasSubstr("not a PyTorch checkpoint"));
  ZipBuilder script;
  script.add("a/data.pkl", "\x80\x02}.");
  script.add("a/constants.pkl", "\x80\x02).");
  EXPECT_THAT(refused(script.finished()), HasSubstr("TorchScript"));
}

TEST(RefusedFiles, CompressedZipFiles) {
  ZipBuilder zip;  // checkpoints zipped by hand, and what unpacks to gigabytes
  zip.add("archive/data.pkl", "\x03\x00", 2, 0, 8);
  EXPECT_THAT(refused(zip.finished()), HasSubstr("compressed"));
  ZipBuilder bomb;
  bomb.add("archive/data.pkl", "\x03\x00", 4'000'000'000U, 0, 8);
  EXPECT_THAT(refused(bomb.finished()), HasSubstr("larger than the file"));
}

TEST(RefusedFiles, TheHandMadeStateDictIsFineByItself) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("x.pt", with_pickle(state_dict("K\x04", "K\x01", "K\x03", "K\x01")));
  const Checkpoint checkpoint = read_checkpoint(path);
  ASSERT_EQ(checkpoint.model.size(), 1U);
  EXPECT_EQ(checkpoint.model[0].first, "w");
  EXPECT_EQ(checkpoint.model[0].second.numel(), 3);
  EXPECT_TRUE(checkpoint.meta.empty());
}
TEST(RefusedFiles, LyingTensors) {
  const std::string zero("K\0", 2);
  const std::string huge("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  EXPECT_THAT(refused(with_pickle(state_dict("K\x05", zero, "K\x05", "K\x01"))),
              HasSubstr("says it has 5 elements"));
  EXPECT_THAT(refused(with_pickle(state_dict(huge, zero, "K\x04", "K\x01"))), HasSubstr("elements"));
  EXPECT_THAT(refused(with_pickle(state_dict("J\xff\xff\xff\xff", zero, "K\x04", "K\x01"))),
              HasSubstr("elements"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, "K\x05", "K\x01"))),
              HasSubstr("larger than its record"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", "K\x02", "K\x03", "K\x01"))),
              HasSubstr("larger than its record"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, "K\x02", huge))),
              HasSubstr("larger than its record"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", huge, "K\x02", huge))), HasSubstr("impossible shape"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, huge + huge, zero + zero))),
              HasSubstr("impossible shape"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, huge, zero))), HasSubstr("larger than the file"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, "J\xff\xff\xff\xff", "K\x01"))),
              HasSubstr("impossible shape"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, "K\x04", ""))), HasSubstr("unknown way"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, "K\x04", "K\x01", "9"))),
              HasSubstr("lacks its record"));
  EXPECT_THAT(refused(with_pickle(state_dict("K\x04", zero, "K\x04", "K\x01", "0", "QInt8Storage"))),
              HasSubstr("QInt8Storage"));
}
TEST(RefusedFiles, TextThatIsNotUtf8) {
  EXPECT_THAT(refused(with_pickle("}(U\x05modelU\x01x\x30}U\x04nameU\x01\xffu")), HasSubstr("UTF-8"));
}
TEST(RefusedFiles, MetaThatGrowsExponentially) {
  std::string pickle =
      "}(U\x05model}U\x04"
      "bombU\x01xq";
  pickle.push_back('\0');
  for (char level = 1; level < 50; ++level) {  // each level is a list of the level below, twice
    pickle += std::string("0](h") + static_cast<char>(level - 1) + "h" + static_cast<char>(level - 1) + "eq" +
              level;
  }
  // A file that is not ours may carry what is no plain data; it is left out, in
  // bounded time.
  const test::TemporaryFolder folder;
  const Checkpoint checkpoint = read_checkpoint(folder.write("x.pt", with_pickle(pickle + "u")));
  EXPECT_FALSE(checkpoint.meta.contains("bomb"));
}

std::string small_checkpoint() {
  const test::TemporaryFolder folder;
  Checkpoint checkpoint;
  checkpoint.model = {{"a.weight", at::arange(0, 6, at::TensorOptions(at::kFloat)).view({2, 3})},
                      {"a.bias", at::arange(0, 2, at::TensorOptions(at::kDouble))}};
  checkpoint.meta = {{"epoch", 3}, {"names", {"one", "two"}}};
  write_checkpoint(folder / "x.pt", checkpoint);
  return read_file(folder / "x.pt");
}

TEST(RefusedFiles, CutShortAtAnyByte) {
  const std::string whole = small_checkpoint();
  const test::TemporaryFolder folder;
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    ASSERT_NE(why_refused(folder.write("x.pt", whole.substr(0, bytes))), "not refused") << bytes << " bytes";
  }
}

TEST(RefusedFiles, AChangedByteIsFoundOrHarmless) {
  const std::string whole = small_checkpoint();
  const test::TemporaryFolder folder;
  const Checkpoint original = read_checkpoint(folder.write("whole.pt", whole));
  int refused_count = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      const auto path = folder.write("x.pt", changed);
      try {
        const Checkpoint read = read_checkpoint(path);
        ASSERT_EQ(read.meta, original.meta) << "byte " << at;
        ASSERT_EQ(read.model.size(), original.model.size()) << "byte " << at;
        ASSERT_TRUE(read.model[0].second.equal(original.model[0].second)) << "byte " << at;
      } catch (const DataError&) {
        ++refused_count;
      }
    }
  }
  EXPECT_GT(refused_count, 300);
}

}  // namespace
}  // namespace yolodist::checkpoint
