#include "lib/device/parse.hpp"
#include "lib/device/run_command.hpp"

#include <cleave/device/command.hpp>
#include <cleave/device/journal.hpp>

#include <algorithm>
#include <optional>

namespace cleave::inline v0::device {
namespace {

constexpr std::string_view place = "{level}";

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.,:+=%/-").find(c) != std::string_view::npos;
}

// The shell takes it for one word and nothing else.
bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_plain);
}

}  // namespace

namespace {

class Command final : public Governor {
 public:
  Command(CommandGovernorOptions options, Machine machine)
      : options_(std::move(options)), machine_(std::move(machine)) {
    if (options_.state_dir.empty())
      options_.state_dir = default_state_dir();
  }

  ~Command() override {
    // A failure leaves the journal, and recover() at the next start reports it.
    (void)restore();
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  core::Result<void> look() {
    const auto wrong = [this](const std::string& what, const std::string& hint = "") {
      return core::fail(core::Errc::invalid_argument, what, options_.name, hint);
    };
    if (!is_word(options_.name) || options_.name.find('/') != std::string::npos)
      return wrong("a knob's name must be a word of letters, digits and _ . , : + = % -");
    if (options_.levels.empty())
      return wrong("the knob has no levels");
    for (const std::string& level : options_.levels)
      if (!is_word(level))
        return wrong("\"" + level + "\" cannot be put into a command",
                     "levels are of letters, digits and _ . , : + = % / -");
    if (options_.set.find(place) == std::string::npos)
      return wrong("the command that sets the level does not name it",
                   "write {level} where the level goes");
    if (options_.get.empty() && index_of(options_.initial) == options_.levels.size())
      return wrong("nothing tells which level to put back",
                   "give a command that prints the level, or name the initial one");
    knob_.name = options_.name;
    knob_.host = options_.host;
    knob_.categorical = true;
    for (const std::string& level : options_.levels)
      knob_.levels.push_back({level, static_cast<double>(knob_.levels.size())});
    if (const auto now = found(); !now)
      return core::fail(now);
    return {};
  }

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }

  core::Result<void> apply(core::LevelIndex level) override {
    if (level >= options_.levels.size())
      return core::fail(core::Errc::invalid_argument,
                        "no level " + std::to_string(level) + "; there are " +
                            std::to_string(options_.levels.size()),
                        knob_.name);
    if (!journal_) {
      auto journal = Journal::open(options_.state_dir, "command-" + options_.name, machine_.files);
      if (!journal)
        return core::fail(journal);
      const auto before = found();
      if (!before)
        return core::fail(before);
      if (auto noted = journal->will_run(command_for(*before), options_.timeout); !noted)
        return noted;
      before_ = *before;
      journal_ = std::move(*journal);
    }
    const std::string& wanted = options_.levels[level];
    applied_.reset();
    if (auto ran = run_command(command_for(wanted), options_.timeout); !ran)
      return core::fail(ran);
    if (!options_.get.empty()) {
      const auto now = found();
      if (!now)
        return core::fail(now);
      if (*now != wanted)
        return core::fail(core::Errc::refused,
                          "\"" + *now + "\" is set after \"" + wanted + "\" was asked for",
                          knob_.name, "another program or limit may hold it");
    }
    applied_ = level;
    return {};
  }

  core::Result<std::optional<core::LevelIndex>> current() override {
    if (options_.get.empty())
      return applied_;
    const auto now = found();
    if (!now)
      return core::fail(now);
    const std::size_t index = index_of(*now);
    if (index == options_.levels.size())
      return std::nullopt;
    return static_cast<core::LevelIndex>(index);
  }

  core::Result<void> restore() override {
    if (!journal_)
      return {};
    if (auto undone = journal_->undo(); !undone)
      return undone;
    journal_.reset();
    applied_.reset();
    const auto now = found();
    if (!now)
      return core::fail(now);
    if (*now != before_)
      return core::fail(core::Errc::refused,
                        "\"" + *now + "\" is set after \"" + before_ + "\" was put back",
                        knob_.name, "set it by hand");
    return {};
  }

 private:
  [[nodiscard]] std::size_t index_of(const std::string& level) const {
    return static_cast<std::size_t>(
        std::find(options_.levels.begin(), options_.levels.end(), level) - options_.levels.begin());
  }

  [[nodiscard]] std::string command_for(const std::string& level) const {
    std::string command = options_.set;
    for (auto at = command.find(place); at != std::string::npos;
         at = command.find(place, at + level.size()))
      command.replace(at, place.size(), level);
    return command;
  }

  // The level that is set.
  [[nodiscard]] core::Result<std::string> found() const {
    if (options_.get.empty())
      return options_.initial;
    auto text = run_command(options_.get, options_.timeout);
    if (text && !is_word(*text))
      return core::fail(core::Errc::refused,
                        "it does not print one word: \"" + text->substr(0, 40) + "\"", options_.get,
                        "it must print the level as the command that sets it takes it");
    return text;
  }

  CommandGovernorOptions options_;
  Machine machine_;
  core::Knob knob_;
  std::optional<Journal> journal_;
  std::string before_;  // what the first apply() found
  std::optional<core::LevelIndex> applied_;
};

}  // namespace

core::Result<std::unique_ptr<CommandGovernor>> CommandGovernor::open(CommandGovernorOptions options,
                                                                     Machine machine) {
  auto impl = std::make_unique<Command>(std::move(options), std::move(machine));
  if (auto looked = impl->look(); !looked)
    return core::fail(looked);
  return std::unique_ptr<CommandGovernor>(new CommandGovernor(std::move(impl)));
}

}  // namespace cleave::inline v0::device
