#include <cleave/transport/link_estimator.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace cleave::inline v0::transport {

namespace {
bool usable(double value) {
  return std::isfinite(value) && value > 0;
}
}  // namespace

void LinkEstimator::Window::add(double value) {
  values[next] = value;
  next = (next + 1) % window;
  count = std::min(count + 1, window);
}

double LinkEstimator::Window::median() const {
  std::vector<double> sorted(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
  std::sort(sorted.begin(), sorted.end());
  return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void LinkEstimator::add_upload(core::Bytes bytes, core::Seconds took, core::Seconds now) {
  if (!usable(took.count()) || !usable(bytes.count()))
    return;
  up_.add(bytes.count() / took.count());
  latest_ = now;
}

void LinkEstimator::add_download(core::Bytes bytes, core::Seconds took, core::Seconds now) {
  if (!usable(took.count()) || !usable(bytes.count()))
    return;
  down_.add(bytes.count() / took.count());
  latest_ = now;
}

void LinkEstimator::add_round_trip(core::Seconds round_trip, core::Seconds now) {
  if (!usable(round_trip.count()))
    return;
  round_trip_.add(round_trip.count());
  latest_ = now;
}

std::optional<LinkEstimate> LinkEstimator::estimate() const {
  if (round_trip_.count == 0 || up_.count + down_.count == 0)
    return std::nullopt;
  LinkEstimate estimate;
  estimate.round_trip = core::Seconds(round_trip_.median());
  estimate.up_measured = up_.count > 0;
  estimate.down_measured = down_.count > 0;
  estimate.up = core::BytesPerSecond((up_.count > 0 ? up_ : down_).median());
  estimate.down = core::BytesPerSecond((down_.count > 0 ? down_ : up_).median());
  estimate.measured_at = latest_;
  estimate.samples = up_.count + down_.count + round_trip_.count;
  return estimate;
}

void LinkEstimator::reset() {
  *this = LinkEstimator();
}

}  // namespace cleave::inline v0::transport
