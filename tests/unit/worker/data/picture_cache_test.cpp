// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/picture_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include "tests/unit/worker/data/temporary_folder.h"
#include "worker/data/cache_opening.h"
#include "worker/data/decode.h"
#include "worker/data/pipeline.h"

namespace yolodist::data {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int picture_count = 8, side_px = 96;

// Pictures of several sizes full of noise, and a folder for their cache.
class PictureCacheTest : public testing::Test {
 protected:
  PictureCacheTest() {
    for (int i = 0; i < picture_count; ++i) {
      cv::Mat noise(60 + 7 * i, 100, CV_8UC3);
      cv::randu(noise, 0, 255);
      folder_.write_picture("images/p" + std::to_string(i) + ".png", noise);
      folder_.write("labels/p" + std::to_string(i) + ".txt", "0 .5 .5 .25 .5\n");
    }
    index_ = build_index({folder_.path() / "images"}, {{1, false, ""}, 1});
  }

  CacheOptions options(CacheKind kind) const {
    CacheOptions options;
    options.kind = kind;
    options.folder = folder_.path() / "cache";
    options.side_px = side_px;
    return options;
  }
  std::unique_ptr<PictureCache> opened(CacheKind kind) const {
    CacheOpening opening = open_picture_cache(index_, options(kind));
    EXPECT_EQ(opening.refusal, "");
    return std::move(opening.cache);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "cache")) {
      files.push_back(entry.path());
    }
    return files;
  }
  void expect_all_ready(const PictureCache& cache) const {
    EXPECT_EQ(cache.ready_count(), picture_count);
    EXPECT_EQ(cache.missing_bytes(), 0);
    for (int i = 0; i < picture_count; ++i) {
      const cv::Mat expected = load_picture(index_, i, side_px, true, nullptr).image, found = cache.find(i);
      ASSERT_EQ(found.size(), expected.size());
      EXPECT_EQ(cv::norm(found, expected, cv::NORM_INF), 0) << i;
    }
  }

  TemporaryFolder folder_;
  Index index_;
};

// What `body` makes the exit code of a process of its own; 128 + the signal that killed it.
int in_a_process(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(body());  // no destructors: as if it had crashed
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void set_state(const fs::path& file, int entry, EntryState state) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  const auto value = static_cast<uint32_t>(state);
  const auto offset = static_cast<off_t>(
      cache_entries_offset + static_cast<size_t>(entry) * sizeof(CacheEntry) + offsetof(CacheEntry, state));
  ASSERT_EQ(::pwrite(descriptor, &value, sizeof(value), offset), static_cast<ssize_t>(sizeof(value)));
  ::close(descriptor);
}

TEST_F(PictureCacheTest, KeepsWhatAReaderDecoded) {
  const auto cache = opened(CacheKind::ram);
  EXPECT_TRUE(cache->find(3).empty());
  const LoadedPicture first = load_picture(index_, 3, side_px, true, nullptr, cache.get());
  EXPECT_EQ(cache->ready_count(), 1);
  const cv::Mat kept = cache->find(3);
  ASSERT_FALSE(kept.empty());
  const LoadedPicture second = load_picture(index_, 3, side_px, true, nullptr, cache.get());
  EXPECT_EQ(second.image.data, kept.data);  // no copy
  EXPECT_EQ(cv::norm(first.image, second.image, cv::NORM_INF), 0);
  EXPECT_EQ(second.native_height_px, 81);
  EXPECT_EQ(second.native_width_px, 100);
  EXPECT_TRUE(second.is_readable);
}

TEST_F(PictureCacheTest, IsLeftAloneByAnotherSideOrRule) {
  const auto cache = opened(CacheKind::ram);
  const cv::Mat kept = load_picture(index_, 0, side_px, true, nullptr, cache.get()).image;
  const cv::Mat by_area = load_picture(index_, 0, side_px, false, nullptr, cache.get()).image;
  EXPECT_EQ(by_area.size(), kept.size());
  EXPECT_GT(cv::norm(by_area, kept, cv::NORM_INF), 0);
  EXPECT_EQ(load_picture(index_, 0, 64, true, nullptr, cache.get()).image.cols, 64);
}

TEST_F(PictureCacheTest, GivesTheSameSamples) {
  const auto cache = opened(CacheKind::ram);
  config::Hyperparameters hyp;
  hyp.mixup = 1;
  SampleContext cached;
  cached.cache = cache.get();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < picture_count; ++i) {
      const Draws draws = draw_sample(hyp, picture_count, side_px, 0, 0, i);
      for (const bool augment : {true, false}) {
        EXPECT_EQ(training_sample(index_, i, draws, hyp, side_px, augment, cached).pixels,
                  training_sample(index_, i, draws, hyp, side_px, augment).pixels);
      }
    }
  }
  expect_all_ready(*cache);
  CacheOptions for_validation = options(CacheKind::ram);
  for_validation.for_training = false;
  const auto other = open_picture_cache(index_, for_validation).cache;
  for (int round = 0; round < 2; ++round) {
    const Sample sample = validation_sample(index_, 2, 96, 96, side_px, nullptr, other.get());
    EXPECT_EQ(sample.pixels, validation_sample(index_, 2, 96, 96, side_px).pixels);
    EXPECT_EQ(sample.fitting.native_height_px, 74);
    EXPECT_EQ(other->ready_count(), 1);
  }
}

TEST_F(PictureCacheTest, ProcessesFillOneCacheTogether) {
  const auto cache = opened(CacheKind::ram);
  std::vector<pid_t> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto mine = open_picture_cache(index_, options(CacheKind::ram)).cache;
      const PictureCache::Filling filling = mine->fill(index_, rank, 2, 2);
      ::_exit(static_cast<int>(filling.stored * 10 + filling.there_before));
    }
    ranks.push_back(child);
  }
  for (const pid_t rank : ranks) {
    int status = 0;
    ::waitpid(rank, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 10 * picture_count / 2);
  }
  EXPECT_EQ(files().size(), 1u);
  expect_all_ready(*cache);
}

TEST_F(PictureCacheTest, ProcessesMayComeAndGoAtAnyTime) {
  std::vector<pid_t> users;
  for (int user = 0; user < 5; ++user) {
    const pid_t child = ::fork();
    if (child == 0) {
      int bad = 0;
      for (int round = 0; round < 20; ++round) {
        const CacheOpening opening = open_picture_cache(index_, options(CacheKind::ram));
        PictureCache* cache = opening.cache.get();
        const int i = (user + round) % picture_count;
        const cv::Mat direct = load_picture(index_, i, side_px, true, nullptr).image;
        const cv::Mat cached = load_picture(index_, i, side_px, true, nullptr, cache).image;
        bool is_right = cache != nullptr && cv::norm(direct, cached, cv::NORM_INF) == 0;
        // Another process may be writing it; then it is ready soon.
        for (int wait = 0; is_right && cache->find(i).empty() && wait < 5000; ++wait) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        is_right = is_right && cv::norm(direct, cache->find(i), cv::NORM_INF) == 0;
        if (!is_right) {
          std::fprintf(stderr, "%s\n", opening.refusal.c_str());
        }
        bad += is_right ? 0 : 1;
      }
      ::_exit(bad);
    }
    users.push_back(child);
  }
  for (const pid_t user : users) {
    int status = 0;
    ::waitpid(user, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(files().empty());
}

TEST_F(PictureCacheTest, TellsItsProgress) {
  const auto cache = opened(CacheKind::ram);
  std::vector<int64_t> steps;
  const PictureCache::Filling filling = cache->fill(index_, 0, 1, 3, {}, [&](int64_t done, int64_t of) {
    EXPECT_EQ(of, picture_count);
    steps.push_back(done);
  });
  EXPECT_EQ(filling.stored, picture_count);
  EXPECT_THAT(steps, testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_EQ(cache->fill(index_, 0, 1, 3).there_before, picture_count);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(cache->fill(index_, 0, 1, 1, stop.get_token()).there_before, 0);
}

TEST_F(PictureCacheTest, GoesOnWithWhatACrashedRunLeft) {
  for (const CacheKind kind : {CacheKind::ram, CacheKind::disk}) {
    EXPECT_EQ(in_a_process([&] {
                const auto cache = opened(kind);
                cache->fill(index_, 0, 1, 1, {}, [](int64_t done, int64_t) {
                  if (done == 3) {
                    ::raise(SIGKILL);
                  }
                });
                return 0;
              }),
              128 + SIGKILL);
    ASSERT_EQ(files().size(), 1u);
    set_state(files().front(), 5, EntryState::claimed);  // as if it had died while writing
    {
      const auto cache = opened(kind);
      const PictureCache::Filling filling = cache->fill(index_, 0, 1, 1);
      EXPECT_EQ(filling.there_before, 3);
      EXPECT_EQ(filling.stored, picture_count - 3);
      expect_all_ready(*cache);
    }
    fs::remove_all(folder_.path() / "cache");
  }
}

TEST_F(PictureCacheTest, ReplacesAFileThatIsNoWholeCache) {
  fs::path path;
  {
    const auto cache = opened(CacheKind::disk);
    cache->fill(index_, 0, 1, 1);
    path = cache->path();
  }
  const auto size = fs::file_size(path);
  const std::vector<std::function<void()>> damages = {
      [&] { fs::resize_file(path, size - 100); }, [&] { fs::resize_file(path, 0); },
      [&] {  // the making was cut off before the header
        fs::resize_file(path, 0);
        fs::resize_file(path, size);
      },
      [&] {  // of another boot: what is called ready may never have reached the disk
        const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        ASSERT_EQ(::pwrite(descriptor, "0000", 4, offsetof(CacheHeader, boot)), 4);
        ::close(descriptor);
      }};
  for (const auto& damage : damages) {
    damage();
    const auto cache = opened(CacheKind::disk);
    EXPECT_EQ(cache->path(), path);
    EXPECT_EQ(cache->ready_count(), 0);
    cache->fill(index_, 0, 1, 1);
    expect_all_ready(*cache);
  }
}

TEST_F(PictureCacheTest, OnDiskStaysForTheNextRunInMemoryGoesWithItsLastUser) {
  {
    const auto first = opened(CacheKind::ram);
    {
      const auto second = opened(CacheKind::ram);
      EXPECT_EQ(first->path(), second->path());
    }
    EXPECT_EQ(files().size(), 1u);
  }
  EXPECT_TRUE(files().empty());
  { opened(CacheKind::disk)->fill(index_, 0, 1, 1); }
  EXPECT_EQ(files().size(), 1u);
  expect_all_ready(*opened(CacheKind::disk));
}

TEST_F(PictureCacheTest, ChangedPicturesHaveACacheOfTheirOwnAndTheAbandonedOneGoes) {
  { opened(CacheKind::disk); }
  EXPECT_EQ(in_a_process([&] { return opened(CacheKind::ram).release() == nullptr ? 1 : 0; }), 0);
  const std::vector<fs::path> before = files();
  ASSERT_EQ(before.size(), 2u);
  folder_.write_picture("images/p0.png", cv::Mat(50, 50, CV_8UC3, cv::Scalar(1, 2, 3)));
  index_ = build_index({folder_.path() / "images"}, {{1, false, ""}, 1});
  const auto cache = opened(CacheKind::ram);
  const std::vector<fs::path> after = files();
  EXPECT_EQ(after.size(), 2u);  // the new one, and the old one on disk, which is to stay
  EXPECT_THAT(after, testing::Contains(cache->path()));
  EXPECT_THAT(before, testing::Not(testing::Contains(cache->path())));
}

TEST_F(PictureCacheTest, IsRefusedWithFiguresWhereItDoesNotFit) {
  CacheOptions large = options(CacheKind::disk);
  large.promised_bytes = int64_t{1} << 60;
  const CacheOpening opening = open_picture_cache(index_, large);
  EXPECT_EQ(opening.cache, nullptr);
  EXPECT_THAT(opening.refusal,
              AllOf(HasSubstr("--cache disk: "), HasSubstr("8 training pictures at 96 px need "),
                    HasSubstr("KiB and a tenth more to spare beside 1048576 TiB for others, "),
                    HasSubstr(large.folder.string() + " has "), HasSubstr("Going on without a cache; "),
                    HasSubstr("--cache-dir")));
  EXPECT_EQ(opening.refusal.find('\n'), std::string::npos);
  EXPECT_TRUE(files().empty());
}

TEST_F(PictureCacheTest, IsRefusedWhereNoFileCanBe) {
  CacheOptions wrong = options(CacheKind::ram);
  wrong.folder = folder_.write("a_file", "");
  EXPECT_THAT(open_picture_cache(index_, wrong).refusal,
              AllOf(HasSubstr("a_file/yolodist-cache-"), HasSubstr("directory")));
}

TEST_F(PictureCacheTest, DoesNotWaitForAProcessThatHoldsTheLock) {
  const fs::path path = opened(CacheKind::disk)->path();
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(descriptor, LOCK_EX), 0);
  CacheOptions impatient = options(CacheKind::disk);
  impatient.longest_wait = std::chrono::milliseconds(50);
  EXPECT_THAT(open_picture_cache(index_, impatient).refusal, HasSubstr("another process keeps it locked"));
  ::close(descriptor);
  EXPECT_NE(open_picture_cache(index_, impatient).cache, nullptr);
}

TEST_F(PictureCacheTest, StandsAFolderThatIsFullAfterAll) {
  EXPECT_EQ(in_a_process([&] {
              ::signal(SIGXFSZ, SIG_IGN);
              const auto cache = opened(CacheKind::ram);
              const auto half = static_cast<rlim_t>(cache->total_bytes() / 2);
              const rlimit limit{half, half};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              const PictureCache::Filling filling = cache->fill(index_, 0, 1, 1);
              const bool is_half =
                  filling.is_full && filling.stored > 1 && filling.stored < picture_count - 1;
              const int last = picture_count - 1;
              const cv::Mat direct = load_picture(index_, last, side_px, true, nullptr).image;
              const cv::Mat loaded = load_picture(index_, last, side_px, true, nullptr, cache.get()).image;
              const bool is_right = cv::norm(direct, loaded, cv::NORM_INF) == 0 && cache->find(last).empty();
              return is_half && is_right ? 0 : 1;
            }),
            0);
}

TEST_F(PictureCacheTest, KeepsNoPictureThatChangedOrCannotBeRead) {
  folder_.write("images/p1.png", "no picture");
  folder_.write_picture("images/p2.png", 200, 30);
  const auto cache = opened(CacheKind::ram);
  const PictureCache::Filling filling = cache->fill(index_, 0, 1, 1);
  EXPECT_EQ(filling.unreadable, 1);
  EXPECT_EQ(filling.stored, picture_count - 2);
  EXPECT_TRUE(cache->find(1).empty());
  EXPECT_TRUE(cache->find(2).empty());
  EXPECT_FALSE(load_picture(index_, 1, side_px, true, nullptr, cache.get()).is_readable);
  EXPECT_EQ(load_picture(index_, 2, side_px, true, nullptr, cache.get()).image.rows, side_px);
}

TEST(DefaultCacheFolder, IsTheJobsOwn) {
  TemporaryFolder folder;
  ::unsetenv("SLURM_TMPDIR");
  ::setenv("TMPDIR", "/no/such/folder", 1);
  EXPECT_EQ(default_cache_folder(CacheKind::disk), "/tmp");
  ::setenv("TMPDIR", folder.path().c_str(), 1);
  EXPECT_EQ(default_cache_folder(CacheKind::disk), folder.path());
  ::setenv("SLURM_TMPDIR", "/", 1);
  EXPECT_EQ(default_cache_folder(CacheKind::disk), "/");
  EXPECT_EQ(default_cache_folder(CacheKind::ram), "/dev/shm");
  ::unsetenv("SLURM_TMPDIR");
  ::unsetenv("TMPDIR");
}

}  // namespace
}  // namespace yolodist::data
