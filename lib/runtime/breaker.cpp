#include <cleave/runtime/breaker.hpp>

#include <algorithm>

namespace cleave::inline v0::runtime {

using core::Seconds;

Backoff::Backoff(const BackoffOptions& options)
    : options_(options), previous_(options.first), random_(options.seed) {}

Seconds Backoff::next() {
  // In [0, 1), the same with every standard library.
  const double uniform = static_cast<double>(random_() >> 11) * 0x1p-53;
  const Seconds most = std::min(options_.last, 3.0 * previous_);
  previous_ = options_.first + uniform * std::max(Seconds(0), most - options_.first);
  return previous_;
}

Breaker::Breaker(const BreakerOptions& options) : options_(options), backoff_(options.backoff) {}

void Breaker::succeeded(Seconds now) {
  if (state_ == State::half_open) {
    state_ = State::closed;
    closed_at_ = now;
    failures_ = 0;
  } else if (state_ == State::closed) {
    failures_ = 0;
    backoff_.reset();
  }
}

void Breaker::failed(Seconds now) {
  if (state_ == State::half_open || (state_ == State::closed && ++failures_ >= options_.failures))
    open(now, false);
}

void Breaker::trip(Seconds now) {
  if (state_ != State::open)
    open(now, false);
}

void Breaker::suspect(Seconds now) {
  if (state_ == State::closed)
    open(now, true);
}

bool Breaker::begin_probe(Seconds now) {
  if (state_ != State::open || now < retry_at_)
    return false;
  state_ = State::half_open;
  return true;
}

void Breaker::open(Seconds now, bool probe_at_once) {
  if (state_ == State::closed) {
    ++opened_;
    if (now - closed_at_ >= backoff_.options().last)
      backoff_.reset();
  }
  state_ = State::open;
  failures_ = 0;
  retry_at_ = probe_at_once ? now : now + backoff_.next();
}

}  // namespace cleave::inline v0::runtime
