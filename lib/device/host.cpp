#include <cleave/device/cpu_share.hpp>
#include <cleave/device/cpufreq.hpp>
#include <cleave/device/host.hpp>
#include <cleave/device/open_governor.hpp>

#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::device {
namespace {

using core::Errc;
using core::fail;

// Keeps the board's levels that were asked for.
core::Result<void> select_levels(Board& board, const std::vector<std::string>& wanted) {
  if (wanted.empty())
    return {};
  std::vector<BoardLevel> kept;
  for (const BoardLevel& level : board.levels)
    for (const std::string& text : wanted)
      if (level.label == text || level.label == text + " MHz") {
        kept.push_back(level);
        break;
      }
  if (kept.size() != wanted.size()) {
    std::string labels;
    for (const BoardLevel& level : board.levels)
      labels += (labels.empty() ? "" : ", ") + level.label;
    return fail(Errc::invalid_argument, "the board has no such level, or it is named twice",
                board.name, "it has " + labels);
  }
  board.levels = std::move(kept);
  return {};
}

std::size_t nearest_level(const Board& board, double hertz) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < board.levels.size(); ++i)
    if (std::abs(board.levels[i].frequency.count() - hertz) <
        std::abs(board.levels[best].frequency.count() - hertz))
      best = i;
  return best;
}

core::Result<void> check_threads(const std::vector<int>& threads) {
  bool ascending = !threads.empty() && threads.front() >= 1 && threads.back() <= 1024;
  for (std::size_t i = 1; i < threads.size(); ++i)
    ascending = ascending && threads[i - 1] < threads[i];
  if (!ascending)
    return fail(Errc::invalid_argument, "thread levels must ascend from at least 1 to at most 1024",
                "threads", "write 1 or 1,2,4");
  return {};
}

// The board's level at each level of one of the knobs.
struct BoardLevels {
  std::size_t knob = 0;
  std::vector<std::size_t> of;  // empty: no knob changes it, so it is the highest
};

// The watts of each combination of levels; see Host.
class BoardPower {
 public:
  BoardPower(Board board, BoardLevels board_levels, std::vector<int> active_cores, bool edge)
      : board_(std::move(board)),
        board_levels_(std::move(board_levels)),
        active_cores_(std::move(active_cores)),
        edge_(edge) {}

  HostPower operator()(std::span<const core::LevelIndex> levels) const {
    const std::size_t level = board_levels_.of.empty()
                                  ? board_.levels.size() - 1
                                  : board_levels_.of.at(levels[board_levels_.knob]);
    const int active = active_cores_.at(levels.back());
    HostPower power;
    power.busy = board_.power(level, active);
    power.idle = board_.power(level, 0);
    power.machine_busy = edge_ ? power.busy : board_.machine_power(level, active);
    return power;
  }

 private:
  Board board_;
  BoardLevels board_levels_;
  std::vector<int> active_cores_;  // of each level of the thread knob
  bool edge_;
};

using GovernorList = std::vector<std::unique_ptr<Governor>>;

// A share of this machine's CPU for the board's levels. `share`, and `pace` and `slice` of the
// host: of the one made.
core::Result<std::unique_ptr<Governor>> emulate(const HostOptions& options, const Board& board,
                                                CpuShareGovernor*& share, Host& host) {
  if (board.by_mode)
    return fail(Errc::invalid_argument, "its levels are power modes, which no share stands for",
                board.name, "leave --emulate-share out, or take a board with frequency levels");
  if (!options.knobs.empty())
    return fail(Errc::invalid_argument, "an emulated board has no other knobs",
                options.knobs.front(), "leave --emulate-share or --knob out");
  if (options.emulate_by == Emulation::pace) {
    auto governor =
        std::make_unique<PaceGovernor>(options.host, board.share_levels(options.emulate_share));
    host.pace = governor->pace();
    return std::unique_ptr<Governor>(std::move(governor));
  }
  CpuShareOptions share_options;
  share_options.host = options.host;
  share_options.levels = board.share_levels(options.emulate_share);
  auto governor = CpuShareGovernor::open(share_options);
  if (governor && (*governor)->cgroup_version() == 1) {
    // A real board's radio and network stack do not stall for milliseconds when a step has used
    // up a quota: limit the thread that runs the network, and those that it starts from now on,
    // and leave the threads that move bytes alone. Version 2 limits whole processes.
    share_options.threads = {::gettid()};
    governor->reset();
    governor = CpuShareGovernor::open(share_options);
  }
  if (!governor)
    return fail(governor);
  share = governor->get();
  host.slice = [shares = share_options.levels, period = share_options.period,
                threads = options.threads](std::span<const core::LevelIndex> levels) {
    const int at_work = threads.at(levels.back());
    const Quota quota = quota_for(shares.at(levels.front()).value * at_work, period);
    return ShareSlice{core::microseconds(static_cast<double>(quota.quota_us) / at_work),
                      core::microseconds(static_cast<double>(quota.period_us))};
  };
  return std::unique_ptr<Governor>(std::move(*governor));
}

// The knobs of this machine: its frequency first, which an edge has unasked, then the others.
core::Result<GovernorList> open_knobs(const HostOptions& options, const Machine& machine) {
  GovernorList governors;
  std::unique_ptr<Governor> frequency;
  for (const std::string& description : options.knobs) {
    auto governor = open_governor(description, {options.host, {}}, machine);
    if (!governor)
      return fail(governor);
    const std::string& name = (*governor)->knob().name;
    for (const auto& other : governors)
      if (other->knob().name == name)
        return fail(Errc::invalid_argument, "the knob is named twice", description);
    if (name != "cpu_frequency")
      governors.push_back(std::move(*governor));
    else if (frequency)
      return fail(Errc::invalid_argument, "the knob is named twice", description);
    else
      frequency = std::move(*governor);
  }
  // No frequency knob is nothing wrong: the machine then has one level.
  if (!frequency && options.host == core::edge_host)
    if (auto governor = CpufreqGovernor::open("policy0", {}, machine))
      frequency = std::move(*governor);
  if (frequency)
    governors.insert(governors.begin(), std::move(frequency));
  return governors;
}

// Which of the knobs chooses the board's level.
BoardLevels board_levels(const Board& board, const GovernorList& governors) {
  BoardLevels found;
  for (std::size_t i = 0; i < governors.size(); ++i) {
    const core::Knob& knob = governors[i]->knob();
    std::vector<std::size_t> of;
    for (const core::Level& level : knob.levels)
      if (board.by_mode) {
        for (std::size_t mode = 0; mode < board.levels.size(); ++mode)
          if (level.label == board.levels[mode].mode || level.label == board.levels[mode].label) {
            of.push_back(mode);
            break;
          }
      } else if (knob.name == "cpu_frequency") {
        of.push_back(nearest_level(board, level.value));
      }
    if (of.size() == knob.levels.size())
      return {i, std::move(of)};
  }
  return found;
}

}  // namespace

core::Result<std::unique_ptr<Host>> open_host(const HostOptions& options,
                                              std::function<core::Result<void>(int)> set_threads,
                                              const Machine& machine) {
  auto board = find_board(options.board);
  if (!board)
    return fail(board);
  if (auto checked = check_threads(options.threads); !checked)
    return fail(checked);
  const bool edge = options.host == core::edge_host;
  auto host = std::make_unique<Host>();
  host->board = std::move(*board);
  if (auto selected = select_levels(host->board, options.levels); !selected)
    return fail(selected);
  if (!options.radio.empty()) {
    host->radio = host->board.radio(options.radio);
    if (host->radio == nullptr)
      return fail(Errc::invalid_argument, "the board has no radio '" + options.radio + "'",
                  host->board.name);
  }

  GovernorList governors;
  CpuShareGovernor* share = nullptr;
  BoardLevels levels;
  std::vector<int> active_cores = options.threads;
  if (options.emulate_share > 0) {
    auto governor = emulate(options, host->board, share, *host);
    if (!governor)
      return fail(governor);
    governors.push_back(std::move(*governor));
    for (std::size_t i = 0; i < host->board.levels.size(); ++i) levels.of.push_back(i);
    for (int& active : active_cores)
      active = std::max(1, host->board.cores * active / options.threads.back());
  } else {
    auto opened = open_knobs(options, machine);
    if (!opened)
      return fail(opened);
    governors = std::move(*opened);
    levels = board_levels(host->board, governors);
  }
  auto set = [set_threads = std::move(set_threads), share](int threads) -> core::Result<void> {
    if (auto done = set_threads(threads); !done)
      return done;
    // A share is of each core at work: two threads of a board at half speed have two halves.
    return share != nullptr ? share->set_parallelism(threads) : core::Result<void>{};
  };
  governors.push_back(
      std::make_unique<ThreadsGovernor>(options.threads, options.threads.front(), std::move(set)));
  host->power = BoardPower(host->board, std::move(levels), std::move(active_cores), edge);
  host->knobs = std::make_shared<Arbiter>(std::move(governors));
  return host;
}

}  // namespace cleave::inline v0::device
