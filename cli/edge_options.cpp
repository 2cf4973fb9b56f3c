#include "cli/edge_options.hpp"

#include <algorithm>
#include <charconv>
#include <cleave/device/cpufreq.hpp>
#include <cmath>

#include "cli/parse.hpp"

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

core::Result<std::vector<int>> parse_threads(const std::string& text) {
  std::vector<int> counts;
  for (const std::string& part : split_list(text)) {
    int count = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), count);
    if (error != std::errc() || end != part.data() + part.size() || count < 1 || count > 1024)
      return fail(Errc::invalid_argument, "not a number of threads", part, "write 1 or 1,2,4");
    counts.push_back(count);
  }
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  if (counts.empty())
    return fail(Errc::invalid_argument, "no number of threads given", "--threads");
  return counts;
}

// Keeps the board's levels that were asked for.
core::Result<void> select_levels(device::Board& board, const std::vector<std::string>& wanted) {
  if (wanted.empty())
    return {};
  std::vector<device::BoardLevel> kept;
  for (const device::BoardLevel& level : board.levels)
    for (const std::string& text : wanted)
      if (level.label == text || level.label == text + " MHz") {
        kept.push_back(level);
        break;
      }
  if (kept.size() != wanted.size()) {
    std::string labels;
    for (const device::BoardLevel& level : board.levels)
      labels += (labels.empty() ? "" : ", ") + level.label;
    return fail(Errc::invalid_argument, "the board has no such level", "--levels",
                "it has " + labels);
  }
  board.levels = std::move(kept);
  return {};
}

std::size_t nearest_level(const device::Board& board, double hertz) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < board.levels.size(); ++i)
    if (std::abs(board.levels[i].frequency.count() - hertz) <
        std::abs(board.levels[best].frequency.count() - hertz))
      best = i;
  return best;
}

}  // namespace

void add_host_options(CLI::App& app, HostOptions& options, core::HostIndex host) {
  const bool edge = host == core::edge_host;
  options.board = edge ? "raspberry_pi_4" : "server_xeon";
  app.add_option("--board", options.board,
                 "Board description (a name, or a .json file) that the modelled watts come from")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Levels of the thread knob, as 1,2")
      ->capture_default_str();
  if (!edge)
    return;
  app.add_option("--emulate-share", options.emulate_share,
                 "Let this share of a CPU of this machine, per thread, stand for the whole board "
                 "at its highest frequency, and less for lower ones (a control group's quota)")
      ->check(CLI::Range(0.001, 1.0));
  app.add_option("--levels", options.levels, "Use only these frequencies of the board, in MHz")
      ->delimiter(',');
  app.add_option("--radio", options.radio,
                 "The board's radio whose energy is counted (none: a wired link, not counted)");
}

core::Result<std::unique_ptr<Host>> open_host(const HostOptions& options, core::HostIndex host,
                                              const core::Executable& model) {
  auto board = device::find_board(options.board);
  if (!board)
    return fail(board);
  const auto counts = parse_threads(options.threads);
  if (!counts)
    return fail(counts);
  auto opened = std::make_unique<Host>();
  opened->board = std::move(*board);
  if (auto selected = select_levels(opened->board, options.levels); !selected)
    return fail(selected);
  if (!options.radio.empty()) {
    opened->radio = opened->board.radio(options.radio);
    if (opened->radio == nullptr)
      return fail(Errc::invalid_argument, "the board has no radio '" + options.radio + "'",
                  opened->board.name);
  }

  std::vector<std::unique_ptr<device::Governor>> governors;
  device::CpuShareGovernor* share = nullptr;
  // The board's level for each level of the first knob, if that knob is a frequency.
  std::vector<std::size_t> board_levels;
  if (options.emulate_share > 0) {
    device::CpuShareOptions share_options;
    share_options.levels = opened->board.share_levels(options.emulate_share);
    auto governor = device::CpuShareGovernor::open(std::move(share_options));
    if (!governor)
      return fail(governor);
    share = governor->get();
    for (std::size_t i = 0; i < opened->board.levels.size(); ++i)
      board_levels.push_back(i);
    governors.push_back(std::move(*governor));
    opened->quota = true;
  } else if (host == core::edge_host) {
    // No frequency knob is nothing wrong: the machine then has one level.
    if (auto governor = device::CpufreqGovernor::open("policy0")) {
      for (const core::Level& level : (*governor)->knob().levels)
        board_levels.push_back(nearest_level(opened->board, level.value));
      governors.push_back(std::move(*governor));
    }
  }
  governors.push_back(std::make_unique<device::ThreadsGovernor>(
      *counts, counts->front(), [&model, share](int threads) -> core::Result<void> {
        if (auto set = model.set_threads(threads); !set)
          return set;
        // A share is of each core at work: two threads of a board at half speed have two halves.
        return share != nullptr ? share->set_parallelism(threads) : core::Result<void>{};
      }));

  // How many of the board's cores each thread level stands for. An emulated board is represented as
  // a whole: the most threads are all its cores.
  std::vector<int> active_cores = *counts;
  if (options.emulate_share > 0)
    for (int& active : active_cores)
      active = std::max(1, opened->board.cores * active / counts->back());
  opened->power = [board = opened->board, board_levels, active_cores,
                   edge = host == core::edge_host](std::span<const core::LevelIndex> levels) {
    const std::size_t level =
        board_levels.empty() ? board.levels.size() - 1 : board_levels.at(levels.front());
    const int threads = active_cores.at(levels.back());
    profiler::HostPower power;
    power.busy = board.power(level, threads);
    power.idle = board.power(level, 0);
    power.machine_busy = edge ? power.busy : board.machine_power(level, threads);
    power.origin = core::Origin::modelled;
    return power;
  };
  opened->arbiter = std::make_unique<device::Arbiter>(std::move(governors));
  return opened;
}

}  // namespace cleave::cli
