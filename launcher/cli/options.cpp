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

std::string normal(std::string_view name) {
  std::string result(name);
  std::replace(result.begin(), result.end(), '_', '-');
  return result;
}

std::string see_help(const std::string& command) {
  return cat("yolodist ", command, " --help lists all options.");
}

// Every way to write an option, and what it means.
class Names {
 public:
  explicit Names(const Grammar& grammar)
      : known_(grammar.known), refused_(grammar.refused), see_help_(see_help(grammar.command)) {
    for (const KnownOption& option : grammar.known) {
      all_.emplace_back(normal(option.name), option.name);
    }
    for (const Alias& alias : grammar.aliases) {
      all_.emplace_back(normal(alias.alias), alias.name);
    }
    for (const RefusedOption& option : grammar.refused) {
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
                       see_help_);
    }
    std::vector<std::string> candidates;
    for (const auto& [name, full] : all_) {
      candidates.push_back(name);
    }
    const std::string near = nearest(word, candidates);
    throw UsageError(cat("unknown option --", written),
                     near.empty() ? see_help_ : cat("Did you mean --", near, "? ", see_help_));
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
  std::string see_help_;
  std::vector<std::pair<std::string, std::string>> all_;
};

bool is_option(const std::string& word) {
  return word.starts_with("--") && word.size() > 2;
}

}  // namespace

std::vector<GivenOption> read_options(const std::vector<std::string>& words, const Grammar& grammar) {
  const Names names(grammar);
  std::vector<GivenOption> given;
  for (size_t i = 0; i < words.size();) {
    std::string word = words[i++];
    if (word == "-h") {
      word = "--help";
    }
    const bool has_word = std::any_of(given.begin(), given.end(),
                                      [](const GivenOption& option) { return option.name.empty(); });
    if (!grammar.word.empty() && !has_word && !word.starts_with("-")) {
      given.push_back({"", {word}});
      continue;
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
        throw UsageError(cat("--", option.name, " needs a value"), see_help(grammar.command));
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

}  // namespace yolodist::cli
