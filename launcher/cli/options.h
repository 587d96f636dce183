// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace yolodist::cli {

// How many words follow an option.
enum class Arity { none, one, optional, several };

struct KnownOption {
  std::string name;  // without the dashes, as in --help
  Arity arity = Arity::one;
};

// Another name of an option.
struct Alias {
  const char* alias;
  const char* name;
};

// An option that someone may well give and that is not there: refused by name, with what to do instead.
struct RefusedOption {
  const char* name;
  const char* instead;
};
// The options of one command.
struct Grammar {
  std::string command;  // "train", for hints
  std::vector<KnownOption> known;
  std::vector<Alias> aliases;
  std::vector<RefusedOption> refused;
  std::string word{};  // what one word without dashes is, "RUN"; "" = there is none
};

struct GivenOption {
  std::string name;  // full, not an alias; "" = the word without dashes
  std::vector<std::string> values;
};

// Cuts the words after the command into options, as YOLOv5's parser (argparse) does: --name value,
// --name=value, unique prefixes, the last one of several counts. Dashes and underscores in names are the
// same. Throws UsageError: unknown (with the nearest), ambiguous, refused, a value missing or too many, a
// stray word.
std::vector<GivenOption> read_options(const std::vector<std::string>& words, const Grammar& grammar);

// The word as a shell needs it: quoted where necessary.
std::string shell_word(const std::string& word);

}  // namespace yolodist::cli
