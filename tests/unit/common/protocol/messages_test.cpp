// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/protocol/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/protocol/link_arguments.h"
#include "tests/support/thrown.h"

namespace yolodist::protocol {
namespace {

using test::thrown;
using testing::HasSubstr;

template <typename Body>
Body through_launcher_line(const Body& body) {
  std::string line = encode(3, ToLauncher(body));
  EXPECT_EQ(line.back(), '\n');
  line.pop_back();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Envelope<ToLauncher> envelope = decode_to_launcher(line);
  EXPECT_EQ(envelope.attempt, 3);
  return std::get<Body>(envelope.body);
}

template <typename Body>
Body through_worker_line(const Body& body) {
  std::string line = encode(2, ToWorker(body));
  line.pop_back();
  return std::get<Body>(decode_to_worker(line).body);
}

TEST(Messages, CarryACollectiveUnchanged) {
  const Collective collective{Channel::gradients,
                              int64_t{1} << 40,
                              CollectiveKind::broadcast,
                              int64_t{5} << 33,
                              int64_t{3} << 32,
                              Dtype::i64,
                              Reduction::min,
                              7};
  EXPECT_EQ(through_launcher_line(collective), collective);
  EXPECT_EQ(decode_collective(encode_collective(collective)), collective);
}

TEST(Messages, CarryWhatTheWorkerSays) {
  EXPECT_EQ(through_launcher_line(Hello{42, "GPU-1"}).device, "GPU-1");
  EXPECT_EQ(through_launcher_line(Resize{int64_t{1} << 35}).bytes, int64_t{1} << 35);
  EXPECT_EQ(through_launcher_line(Progress{2, 30, 4, "epoch\n\"2\""}).text, "epoch\n\"2\"");
  EXPECT_EQ(through_launcher_line(Done{ExitCode::state_saved}).exit_code, ExitCode::state_saved);
  run::FailureReport report;
  report.what = "labels/7.txt:3: bad";
  report.exit_code = 65;
  report.rank = 3;
  EXPECT_EQ(through_launcher_line(Failure{report}).report, report);
}

TEST(Messages, CarrySamples) {
  const Sample sample{int64_t{1} << 40, 5, 6, 7, int64_t{1} << 50, "backward"};
  EXPECT_EQ(through_launcher_line(sample), sample);
  const PeerSample read = through_worker_line(PeerSample{3, sample});
  EXPECT_EQ(read.rank, 3);
  EXPECT_EQ(read.sample, sample);
  EXPECT_EQ(decode_sample(encode_sample(sample)), sample);
  Sample of_card = sample;
  of_card.device_used_bytes = int64_t{1} << 35;
  EXPECT_EQ(decode_sample(encode_sample(of_card)), of_card);
  of_card.other_processes_bytes = 0;
  EXPECT_EQ(through_launcher_line(of_card), of_card) << "nobody else is not the same as not known";
  EXPECT_THROW(decode_sample("{}"), InternalError);
  EXPECT_THROW(decode_sample("no"), InternalError);
}

TEST(Messages, CarryTheStartWithItsOptions) {
  Start start;
  start.rank = 2;
  start.world_size = 4;
  start.device = "cuda";
  start.device_pci = "00000000:65:00.0";
  start.run_directory = "/runs/exp";
  start.options.freeze = {1, 2, 5};
  start.options.global_batch = 7;
  start.options.worker_prefix = "gdb --args";
  start.resume_checkpoint = "/runs/exp/weights/last.pt";
  start.run_token = "abc";
  const Start read = through_worker_line(start);
  EXPECT_EQ(read.rank, 2);
  EXPECT_EQ(read.attempt, 2) << "the attempt is that of the line";
  EXPECT_EQ(read.device_pci, start.device_pci);
  EXPECT_EQ(read.options.freeze, start.options.freeze);
  EXPECT_EQ(read.options.global_batch, 7);
  EXPECT_EQ(read.options.worker_prefix, "gdb --args");
  EXPECT_EQ(read.resume_checkpoint, start.resume_checkpoint);
  EXPECT_EQ(read.run_token, "abc");
}

TEST(Messages, CarryTheOptionsOfTheCommand) {
  Start start;
  start.command = "val";
  start.val.confidence = 0.125;
  EXPECT_EQ(through_worker_line(start).command, "val");
  EXPECT_EQ(through_worker_line(start).val.confidence, 0.125);
  start.command = "detect";
  start.detect.classes = {1, 5};
  EXPECT_EQ(through_worker_line(start).detect.classes, (std::vector<int>{1, 5}));

  std::string line = encode(1, ToWorker(Start()));
  const std::string command = R"("command":"train",)";
  line.erase(line.find(command), command.size());
  EXPECT_EQ(std::get<Start>(decode_to_worker(line).body).command, "train")
      << "of a launcher that only trains";
}

TEST(Messages, CarryWhatTheLauncherSays) {
  EXPECT_EQ(through_worker_line(Stop{"SIGUSR1"}).reason, "SIGUSR1");
  EXPECT_EQ(through_worker_line(CollectiveDone{Channel::small, 9, "lost"}).error, "lost");
  EXPECT_EQ(through_worker_line(Resized{4096}).bytes, 4096);
}

TEST(Messages, TextThatIsNotUtf8IsStillSent) {
  EXPECT_THAT(through_launcher_line(Progress{1, 1, 1, "file \xff.jpg"}).text, HasSubstr("file "));
}

TEST(Messages, RefuseAnotherVersionAndSayWhy) {
  std::string line = encode(1, ToLauncher(Resize{1}));
  line.replace(line.find("\"v\":2"), 5, "\"v\":9");
  const std::string error = thrown<InternalError>([&] { decode_to_launcher(line); });
  EXPECT_THAT(error, HasSubstr("protocol version 9, here it is 2"));
  EXPECT_THAT(error, HasSubstr("different builds"));
}

TEST(Messages, RefuseGarbageAndQuoteIt) {
  for (const char* line :
       {"", "hello", "[1]", "{}", R"({"v":2,"attempt":1})", R"({"v":2,"attempt":1,"type":"dance"})",
        R"({"v":2,"attempt":1,"type":"resize"})", R"({"v":2,"attempt":1,"type":"resize","bytes":"x"})",
        R"({"v":2,"attempt":1,"type":5})", R"({"v":2,"attempt":1,"type":"failure","report":{}})"}) {
    const std::string error = thrown<InternalError>([&] { decode_to_launcher(line); });
    EXPECT_THAT(error, HasSubstr(cat("\"", line, "\""))) << line;
  }
  EXPECT_THAT(thrown<InternalError>([] { decode_to_worker("ab\x01\xff"); }), HasSubstr("ab??"));
  EXPECT_THROW(decode_to_worker(R"({"v":2,"attempt":1,"type":"start","rank":0})"), InternalError);
  EXPECT_THROW(decode_collective("{\"channel\":\"middle\"}"), InternalError);
}

TEST(LineReader, PutsLinesTogetherFromPieces) {
  LineReader reader;
  std::string line;
  reader.append("one\ntw");
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line, "one");
  EXPECT_FALSE(reader.next(line));
  reader.append("o");
  EXPECT_FALSE(reader.next(line));
  reader.append("\n\nthree\n");
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line, "two");
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line, "");
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line, "three");
  EXPECT_FALSE(reader.next(line));
}

TEST(LineReader, RefusesALineWithoutEnd) {
  LineReader reader;
  std::string line;
  reader.append(std::string(max_line_bytes, 'x'));
  EXPECT_FALSE(reader.next(line));
  reader.append("x");
  EXPECT_THROW(reader.next(line), InternalError);
}

TEST(LinkArguments, AreReadAsTheyAreWritten) {
  LinkArguments arguments;
  arguments.link_fd = 3;
  arguments.memory_fd = 4;
  arguments.attempt = 2;
  arguments.launcher_pid = 99;
  arguments.prefixed = true;
  const std::vector<std::string> words = to_words(arguments);
  std::vector<const char*> argv = {"yolodist-worker"};
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  const LinkArguments read = parse_link_arguments(static_cast<int>(argv.size()), argv.data());
  EXPECT_EQ(read.link_fd, 3);
  EXPECT_EQ(read.memory_fd, 4);
  EXPECT_EQ(read.attempt, 2);
  EXPECT_EQ(read.launcher_pid, 99);
  EXPECT_TRUE(read.prefixed);
}

TEST(LinkArguments, AWorkerStartedByHandSaysWhatToRun) {
  const char* alone[] = {"yolodist-worker"};
  EXPECT_THAT(thrown<UsageError>([&] { parse_link_arguments(1, alone); }), HasSubstr("Run yolodist"));
  const char* unknown[] = {"yolodist-worker", "--data"};
  EXPECT_THAT(thrown<UsageError>([&] { parse_link_arguments(2, unknown); }), HasSubstr("'--data'"));
  const char* bad[] = {"yolodist-worker", "--link-fd", "x"};
  EXPECT_THAT(thrown<UsageError>([&] { parse_link_arguments(3, bad); }), HasSubstr("not a number"));
}

}  // namespace
}  // namespace yolodist::protocol
