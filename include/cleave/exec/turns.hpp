// Whose turn it is to compute on this host, so that one request's head does not slow another's.
#pragma once

#include <cleave/core/export.hpp>

#include <compare>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace cleave::inline v0::exec {

/// Who goes first of those that wait for their first turn: the larger priority, then who is due
/// earlier.
struct Urgency {
  std::uint8_t priority = 1;
  double due = 0;  ///< seconds of any clock that all who share the turns go by
};

/// So many at a time; the others wait: first those that had a turn before (Turn::again()), then by
/// urgency, of equal ones in the order in which they came. Thread-safe.
class CLEAVE_EXPORT Turns {
 public:
  /// `at_once` of 0: any number.
  explicit Turns(int at_once = 1) : at_once_(at_once) {}

  /// Who waits now.
  [[nodiscard]] std::size_t waiting() const;
  /// Whether a turn could be had at once.
  [[nodiscard]] bool free() const;
  /// Those who wait by Turn::again() look again whether they still want to.
  void look_again();

 private:
  friend class Turn;
  // Ascending: who goes first.
  struct Place {
    int rank;
    double due;
    std::uint64_t age;
    auto operator<=>(const Place&) const = default;
  };
  bool take(int rank, double due, const std::function<bool()>& unless);
  void give();

  const int at_once_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int taken_ = 0;
  std::uint64_t next_ = 0;
  std::set<Place> waiting_;
};

/// One request's part in it. Used by one thread at a time.
class CLEAVE_EXPORT Turn {
 public:
  /// Waits for a turn.
  explicit Turn(std::shared_ptr<Turns> turns);
  /// Without a turn, until begin() or again().
  Turn(std::shared_ptr<Turns> turns, Urgency urgency);
  /// Ends it.
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  /// Is called with true when a turn was got by again(), and with false before one is given back.
  void on_change(std::function<void(bool held)> changed) { changed_ = std::move(changed); }

  [[nodiscard]] bool held() const { return held_; }
  /// Waits for the first turn.
  void begin();
  /// Lets others go on; nothing if it is not held.
  void end();
  /// Waits for another one, before all who have not had one yet. False, and no turn is held, if
  /// `unless` is true before: it is asked at first, at each change, and at Turns::look_again().
  bool again(const std::function<bool()>& unless = nullptr);
  [[nodiscard]] const std::shared_ptr<Turns>& turns() const { return turns_; }

 private:
  const std::shared_ptr<Turns> turns_;
  const Urgency urgency_;
  bool held_ = false;
  std::function<void(bool)> changed_;
};

}  // namespace cleave::inline v0::exec
