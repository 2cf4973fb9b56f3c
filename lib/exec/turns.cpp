#include <cleave/exec/turns.hpp>

namespace cleave::inline v0::exec {
namespace {

constexpr int rank_again = 0;

int rank_of(const Urgency& urgency) {
  return 256 - urgency.priority;
}

}  // namespace

std::size_t Turns::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

bool Turns::free() const {
  const std::lock_guard lock(mutex_);
  return at_once_ == 0 || (taken_ < at_once_ && waiting_.empty());
}

void Turns::look_again() {
  // Whoever waits may be between its look and its wait: it is behind this lock then.
  { const std::lock_guard lock(mutex_); }
  changed_.notify_all();
}

bool Turns::take(int rank, double due, const std::function<bool()>& unless) {
  std::unique_lock lock(mutex_);
  const auto mine = waiting_.insert(Place{rank, due, next_++}).first;
  bool wanted = true;
  changed_.wait(lock, [&] {
    wanted = !unless || !unless();
    return !wanted || at_once_ == 0 || (taken_ < at_once_ && mine == waiting_.begin());
  });
  waiting_.erase(mine);
  if (wanted)
    ++taken_;
  lock.unlock();
  // Who was behind may be the first now.
  changed_.notify_all();
  return wanted;
}

void Turns::give() {
  {
    const std::lock_guard lock(mutex_);
    --taken_;
  }
  changed_.notify_all();
}

Turn::Turn(std::shared_ptr<Turns> turns) : Turn(std::move(turns), Urgency()) {
  begin();
}

Turn::Turn(std::shared_ptr<Turns> turns, Urgency urgency)
    : turns_(std::move(turns)), urgency_(urgency) {}

Turn::~Turn() {
  end();
}

void Turn::begin() {
  if (!held_)
    held_ = turns_->take(rank_of(urgency_), urgency_.due, nullptr);
}

void Turn::end() {
  if (!std::exchange(held_, false))
    return;
  if (changed_)
    changed_(false);
  turns_->give();
}

bool Turn::again(const std::function<bool()>& unless) {
  if (held_)
    return true;
  held_ = turns_->take(rank_again, urgency_.due, unless);
  if (held_ && changed_)
    changed_(true);
  return held_;
}

}  // namespace cleave::inline v0::exec
