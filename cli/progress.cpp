#include "cli/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cleave::cli {

Progress::Progress(bool quiet)
    : start_(clock_.now()), drawn_(-1.0), terminal_(::isatty(STDERR_FILENO) == 1), quiet_(quiet) {}

Progress::~Progress() {
  finish();
}

void Progress::update(double fraction, std::string_view phase) {
  if (quiet_)
    return;
  const core::Seconds now = clock_.now();
  const bool new_phase = phase != phase_;
  if (!new_phase && now - drawn_ < core::milliseconds(100) && fraction < 1)
    return;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const core::Seconds spent = now - start_;
  const double left = fraction > 0.03 ? spent.count() * (1 - fraction) / fraction : NAN;
  if (terminal_) {
    constexpr int width = 28;
    const int done = static_cast<int>(std::lround(fraction * width));
    std::fprintf(stderr, "\r\x1b[K[%s%s] %3.0f %%  ",
                 std::string(static_cast<std::size_t>(done), '#').c_str(),
                 std::string(static_cast<std::size_t>(width - done), '.').c_str(), 100 * fraction);
    if (std::isfinite(left))
      std::fprintf(stderr, "%.0f s left  ", left);
    std::fprintf(stderr, "%.*s", static_cast<int>(phase.size()), phase.data());
    std::fflush(stderr);
    open_ = true;
  } else if (new_phase || fraction >= told_ + 0.1) {
    told_ = fraction;
    std::fprintf(stderr, "%3.0f %%  %6.1f s  %.*s", 100 * fraction, spent.count(),
                 static_cast<int>(phase.size()), phase.data());
    if (std::isfinite(left))
      std::fprintf(stderr, "  (about %.0f s left)", left);
    std::fputc('\n', stderr);
  }
  phase_ = phase;
  drawn_ = now;
}

void Progress::finish() {
  if (open_)
    std::fputc('\n', stderr);
  open_ = false;
}

}  // namespace cleave::cli
