// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/atomic_file.h"

#include <sys/resource.h>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/temporary_folder.h"
#include "tests/support/thrown.h"

namespace yolodist {
namespace {

using test::TemporaryFolder;
using test::thrown;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Writes past this many bytes of a file fail with EFBIG, which takes the same way as a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limited{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  void (*old_handler_)(int);
  rlimit old_{};
};

TEST(AtomicFile, ReplacesTheOldContentOnCommit) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.txt", "old");
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, KeepsTheOldContentUntilCommit) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.txt", "old");
  {
    AtomicFile file(path);
    file.write("half of the n");
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, KeepsTheOldContentWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.txt", "old");
  const std::string message = thrown<StorageError>([&] {
    const FileSizeLimit limit(4096);
    write_file_atomically(path, std::string(100000, 'x'));
  });
  EXPECT_THAT(message, AllOf(HasSubstr("a.txt"), HasSubstr("too large")));
  EXPECT_EQ(read_file(path), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, AsksOnceMoreBeforeItTakesItsPlace) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.txt", "old");
  EXPECT_EQ(thrown<StorageError>([&] {
              AtomicFile file(path);
              file.write("new");
              file.commit([&] {
                EXPECT_EQ(read_file(path), "old");
                throw StorageError("not any more");
              });
            }),
            "not any more");
  EXPECT_EQ(read_file(path), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, KnowsBeforehandThatThereIsNoRoom) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a.txt");
  file.require_room(1);
  EXPECT_THAT(thrown<NoRoom>([&] { file.require_room(int64_t{1} << 60); }),
              AllOf(HasSubstr("a.txt: No space left on device"), HasSubstr("are free")));
}

TEST(RemoveTemporaries, TakesOnlyItsOwn) {
  const TemporaryFolder folder;
  for (const char* name :
       {"last.pt", "last.pt.tmp-12", "best.pt.tmp-7", "a.tmp-", "a.tmp-1x", ".tmp-5", "tmp-5"}) {
    folder.write(name, "x");
  }
  std::filesystem::create_directory(folder / "folder.tmp-3");
  EXPECT_EQ(remove_temporaries(folder.path()), 2);
  EXPECT_THAT(names_in(folder.path()), testing::UnorderedElementsAre("last.pt", "a.tmp-", "a.tmp-1x",
                                                                     ".tmp-5", "tmp-5", "folder.tmp-3"));
  EXPECT_EQ(remove_temporaries(folder / "missing"), 0);
}

TEST(AtomicFile, NamesTheFolderThatIsNotThere) {
  const TemporaryFolder folder;
  const std::string message = thrown<StorageError>([&] { write_file_atomically(folder / "no/a.txt", "x"); });
  EXPECT_THAT(message, AllOf(HasSubstr("no/a.txt"), HasSubstr("No such file")));
}

TEST(ReadFile, GivesTheBytesUnchanged) {
  const TemporaryFolder folder;
  const std::string content("a\r\n\0b", 5);
  EXPECT_EQ(read_file(folder.write("a", content)), content);
}

TEST(ReadFile, NamesWhatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(thrown<DataError>([&] { read_file(folder / "missing"); }),
              AllOf(HasSubstr("missing"), HasSubstr("No such file")));
  EXPECT_THAT(thrown<DataError>([&] { read_file(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("directory")));
}

}  // namespace
}  // namespace yolodist
