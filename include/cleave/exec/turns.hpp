// Whose turn it is to compute on this host, so that one request's head does not slow another's.
#pragma once

#include <cleave/core/export.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace cleave::inline v0::exec {

/// So many at a time; the others wait: first those that had a turn before (Turn::again()), of equal
/// ones in the order in which they came. Thread-safe.
class CLEAVE_EXPORT Turns {
 public:
  /// `at_once` of 0: any number.
  explicit Turns(int at_once = 1) : at_once_(at_once) {}

  /// Who waits now.
  [[nodiscard]] std::size_t waiting() const;
  /// Those who wait by Turn::again() look again whether they still want to.
  void look_again();

 private:
  friend class Turn;
  bool take(int rank, const std::function<bool()>& unless);
  void give();

  const int at_once_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int taken_ = 0;
  std::uint64_t next_ = 0;
  std::set<std::pair<int, std::uint64_t>> waiting_;  // by rank, then by age
};

/// One request's part in it. Used by one thread at a time.
class CLEAVE_EXPORT Turn {
 public:
  /// Waits for a turn.
  explicit Turn(std::shared_ptr<Turns> turns);
  /// Ends it.
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  [[nodiscard]] bool held() const { return held_; }
  /// Lets others go on; nothing if it is not held.
  void end();
  /// Waits for another one, before all who have not had one yet. False, and no turn is held, if
  /// `unless` is true before: it is asked at first, at each change, and at Turns::look_again().
  bool again(const std::function<bool()>& unless = nullptr);
  [[nodiscard]] const std::shared_ptr<Turns>& turns() const { return turns_; }

 private:
  const std::shared_ptr<Turns> turns_;
  bool held_ = false;
};

}  // namespace cleave::inline v0::exec
