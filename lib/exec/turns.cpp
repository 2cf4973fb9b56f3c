#include <cleave/exec/turns.hpp>

namespace cleave::inline v0::exec {
namespace {

constexpr int rank_again = 0;
constexpr int rank_first = 1;

}  // namespace

std::size_t Turns::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

void Turns::look_again() {
  // Whoever waits may be between its look and its wait: it is behind this lock then.
  { const std::lock_guard lock(mutex_); }
  changed_.notify_all();
}

bool Turns::take(int rank, const std::function<bool()>& unless) {
  std::unique_lock lock(mutex_);
  const auto mine = waiting_.emplace(rank, next_++).first;
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

Turn::Turn(std::shared_ptr<Turns> turns) : turns_(std::move(turns)) {
  held_ = turns_->take(rank_first, nullptr);
}

Turn::~Turn() {
  end();
}

void Turn::end() {
  if (std::exchange(held_, false))
    turns_->give();
}

bool Turn::again(const std::function<bool()>& unless) {
  if (!held_)
    held_ = turns_->take(rank_again, unless);
  return held_;
}

}  // namespace cleave::inline v0::exec
