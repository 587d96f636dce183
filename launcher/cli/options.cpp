// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "launcher/cli/options.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/error.h"
#include "common/base/text.h"

namespace yolodist::cli {
namespace {

constexpr const char* see_help = "yolodist train --help lists all options.";

std::string normal(std::string_view name) {
  std::string result(name);
  std::replace(result.begin(), result.end(), '_', '-');
  return result;
}

// Every way to write an option, and what it means.
class Names {
 public:
  Names(const std::vector<KnownOption>& known, const std::vector<Alias>& aliases,
        const std::vector<RefusedOption>& refused)
      : known_(known), refused_(refused) {
    for (const KnownOption& option : known) {
      all_.emplace_back(normal(option.name), option.name);
    }
    for (const Alias& alias : aliases) {
      all_.emplace_back(normal(alias.alias), alias.name);
    }
    for (const RefusedOption& option : refused) {
      all_.emplace_back(normal(option.name), option.name);
    }
  }

  const KnownOption& find(const std::string& written) const {
    const std::string word = normal(written);
    std::set<std::string> meant;
    for (const auto& [name, full] : all_) {
      if (name == word) {
        return known_or_refuse(full);
      }
      if (!word.empty() && name.starts_with(word)) {
        meant.insert(full);
      }
    }
    if (meant.size() == 1) {
      return known_or_refuse(*meant.begin());
    }
    if (meant.size() > 1) {
      throw UsageError(cat("--", written, " is ambiguous: --", join({meant.begin(), meant.end()}, ", --")),
                       see_help);
    }
    std::vector<std::string> candidates;
    for (const auto& [name, full] : all_) {
      candidates.push_back(name);
    }
    const std::string near = nearest(word, candidates);
    throw UsageError(cat("unknown option --", written),
                     near.empty() ? see_help : cat("Did you mean --", near, "? ", see_help));
  }

 private:
  const KnownOption& known_or_refuse(const std::string& name) const {
    for (const RefusedOption& option : refused_) {
      if (option.name == name) {
        throw UsageError(cat("--", name, " is not supported", option.instead));
      }
    }
    return *std::find_if(known_.begin(), known_.end(),
                         [&](const KnownOption& option) { return option.name == name; });
  }

  const std::vector<KnownOption>& known_;
  const std::vector<RefusedOption>& refused_;
  std::vector<std::pair<std::string, std::string>> all_;
};

bool is_option(const std::string& word) {
  return word.starts_with("--") && word.size() > 2;
}

}  // namespace

std::vector<GivenOption> read_options(const std::vector<std::string>& words,
                                      const std::vector<KnownOption>& known,
                                      const std::vector<Alias>& aliases,
                                      const std::vector<RefusedOption>& refused) {
  const Names names(known, aliases, refused);
  std::vector<GivenOption> given;
  for (size_t i = 0; i < words.size();) {
    std::string word = words[i++];
    if (word == "-h") {
      word = "--help";
    }
    if (!is_option(word)) {
      throw UsageError(cat("stray word '", word, "'"),
                       "Options begin with two dashes. Quote a value with blanks.");
    }
    const size_t equals = word.find('=');
    const KnownOption& option = names.find(word.substr(2, equals == std::string::npos ? equals : equals - 2));
    GivenOption result{option.name, {}};
    if (equals != std::string::npos) {
      if (option.arity == Arity::none) {
        throw UsageError(cat("--", option.name, " takes no value, but got '", word.substr(equals + 1), "'"));
      }
      result.values.push_back(word.substr(equals + 1));
    } else if (option.arity != Arity::none) {
      const size_t most = option.arity == Arity::several ? words.size() : 1;
      while (result.values.size() < most && i < words.size() && !is_option(words[i])) {
        result.values.push_back(words[i++]);
      }
      if (result.values.empty() && option.arity != Arity::optional) {
        throw UsageError(cat("--", option.name, " needs a value"), see_help);
      }
    }
    std::erase_if(given, [&](const GivenOption& earlier) { return earlier.name == result.name; });
    given.push_back(std::move(result));
  }
  return given;
}

std::string shell_word(const std::string& word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
    return word;
  }
  std::string quoted = "'";
  for (const char c : word) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return quoted + "'";
}

const std::vector<Alias>& train_aliases() {
  static const std::vector<Alias> aliases = {
      {"batch", "batch-size"},     {"img", "imgsz"}, {"img-size", "imgsz"}, {"model", "cfg"},
      {"micro-batch", "bn-group"},
  };
  return aliases;
}

const std::vector<RefusedOption>& refused_train_options() {
  static const std::vector<RefusedOption> options = {
      // YOLOv5's.
      {"rect", " yet in training. Leave it out; validation uses rectangles by itself."},
      {"multi-scale", " yet. Leave it out, or train at another --imgsz."},
      {"image-weights",
       " yet. Leave it out, or list pictures of rare classes more than once in a list file."},
      {"cache", " yet. Leave it out; the operating system caches files, and --workers decode ahead."},
      {"evolve", ". Try hyperparameters in runs of their own with --hyp FILE."},
      {"bucket", ". It belongs to --evolve."},
      {"quad", ". Use a larger --imgsz instead."},
      {"sync-bn",
       ": statistics over groups are the recipe here. Say with --bn-group K over how many pictures."},
      {"entity", ". Logs are results.csv and metrics.jsonl in the run directory."},
      {"upload_dataset", ". Data sets are used where they are: --data FILE."},
      {"bbox_interval", ". Logs are results.csv and metrics.jsonl in the run directory."},
      {"artifact_alias", ". Data sets are used where they are: --data FILE."},
      {"local_rank", ". Ranks come from mpirun or srun, not from torchrun; alone, use --ranks N."},
      {"evolve_population", ". Try hyperparameters in runs of their own with --hyp FILE."},
      {"resume_evolve", ". Try hyperparameters in runs of their own with --hyp FILE."},
      // Ours, later.
      {"device-memory", " yet. Choose a --batch-size that fits."},
      {"memory-reserve", " yet. Choose a --batch-size that fits."},
      {"recompute", " yet. Lower --batch-size or --bn-group if memory is short."},
      {"shard-optimizer", " yet. Lower --batch-size or --bn-group if memory is short."},
      {"pipeline", " yet. Lower --batch-size or --bn-group if memory is short."},
      {"allow-recipe-change", " yet. Nothing changes the recipe."},
      {"max-restarts", " yet. Start again with --resume after a failure."},
      {"stop-signal", " yet. SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 all ask to save and stop."},
      {"teacher", " yet. Train without distillation."},
      {"sparsity", " yet. Train without pruning."},
      {"prune-ratio", " yet. Train without pruning."},
      {"qat", " yet. Train without quantization."},
      {"card", " in train. It belongs to the command plan, which is not there yet."},
      {"json", " in train. Read results.csv and metrics.jsonl in the run directory."},
  };
  return options;
}

}  // namespace yolodist::cli
