// A progress bar with the time left, on standard error.
#pragma once

#include <cleave/core/clock.hpp>

#include <string>
#include <string_view>

namespace cleave::cli {

/// Draws when standard error is a terminal; otherwise prints a line for each new phase and each
/// tenth of the work. Nothing if quiet. Not thread-safe.
class Progress {
 public:
  explicit Progress(bool quiet = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `fraction` of all the work, 0..1, while doing `phase`.
  void update(double fraction, std::string_view phase);
  /// Ends the line.
  void finish();

 private:
  core::SteadyClock clock_;
  core::Seconds start_, drawn_;
  double told_ = 0;  // the fraction on the last line that was printed
  std::string phase_;
  bool terminal_ = false;
  bool quiet_ = false;
  bool open_ = false;
};

}  // namespace cleave::cli
