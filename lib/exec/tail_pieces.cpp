#include "lib/exec/tail_pieces.hpp"

#include <algorithm>

namespace cleave::inline v0::exec {

TailPieces::TailPieces(const core::Executable& model) : model_(model), steps_(model.step_count()) {}

std::optional<std::uint32_t> TailPieces::position(core::CutId cut) const {
  for (const core::Cut& known : model_.cuts())
    if (known.id == cut)
      return known.position;
  return std::nullopt;
}

std::vector<core::CutId> TailPieces::ends(const core::Stage& head) const {
  const auto cuts = model_.cuts();
  // All of the head lies before.
  const std::uint32_t begin = head.head.empty()
                                  ? position(head.end).value_or(0)
                                  : std::min(head.head.back().end, cuts.back().position);
  // By step: when it is done.
  std::vector<double> done(steps_.size() + 1);
  {
    const std::lock_guard lock(mutex_);
    double sum = 0, runs = 0;
    for (const Step& step : steps_)
      if (step.runs > 0) {
        sum += step.least.count();
        ++runs;
      }
    const bool timed = sum > 0;  // and not by a clock too coarse for any
    const double usual = timed ? sum / runs : 1;
    for (std::size_t i = 0; i < steps_.size(); ++i)
      done[i + 1] = done[i] + (timed && steps_[i].runs > 0 ? steps_[i].least.count() : usual);
  }
  const auto at = [&](const core::Cut& cut) { return done[cut.position]; };
  const double piece = (done.back() - done[begin]) / most;
  std::vector<core::CutId> ends;
  double last = done[begin];
  for (const core::Cut& cut : cuts) {
    const bool end = &cut == &cuts.back();
    if (end || (cut.position > begin && at(cut) > last && at(cut) - last >= piece * (1 - 1e-9))) {
      ends.push_back(cut.id);
      last = at(cut);
    }
  }
  return ends;
}

bool TailPieces::known(std::uint32_t begin, std::uint32_t end) const {
  const std::lock_guard lock(mutex_);
  return std::all_of(steps_.begin() + begin, steps_.begin() + end,
                     [](const Step& step) { return step.runs >= enough; });
}

core::Result<core::Values> TailPieces::run(core::CutId begin, core::CutId end,
                                           const core::Values& values) {
  const std::uint32_t last = position(end).value_or(0);
  // Of steps whose begin is not known the last tells whether they were timed.
  const std::uint32_t first = position(begin).value_or(last == 0 ? 0 : last - 1);
  if (first > last || known(first, last))
    return model_.run(begin, end, values);
  std::vector<core::StepTime> times;
  auto result = model_.run_timed(begin, end, values, times);
  const std::lock_guard lock(mutex_);
  for (const core::StepTime& time : times)
    if (time.step < steps_.size()) {
      Step& step = steps_[time.step];
      step.least = step.runs == 0 ? time.time : std::min(step.least, time.time);
      ++step.runs;
    }
  return result;
}

}  // namespace cleave::inline v0::exec
