// A governor sets one knob of this machine, verifies what it set, and puts back what it found.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cleave::inline v0::device {

/// One knob. Not thread-safe unless an implementation says so: an Arbiter serialises. The
/// destructor restores; a process that dies without running it is cleaned up after by recover().
class CLEAVE_EXPORT Governor {
 public:
  virtual ~Governor();

  /// Its levels; at least one.
  [[nodiscard]] virtual const core::Knob& knob() const = 0;

  /// Sets the level, reads it back, and fails if the machine does not say what was asked for.
  /// Errors: invalid_argument (no such level), permission_denied (with a hint), in_use (another
  /// process holds this knob), not_found (the kernel's file is gone), refused (the write succeeded
  /// but the kernel kept another value), io. After an error the machine is either as before or at a
  /// level that current() tells; restore() puts back what was found in either case.
  [[nodiscard]] virtual core::Result<void> apply(core::LevelIndex level) = 0;

  /// What the machine says now; nothing if that is none of the levels (as before the first apply).
  [[nodiscard]] virtual core::Result<std::optional<core::LevelIndex>> current() = 0;

  /// Puts back what the first apply() found. Does nothing if nothing was changed. May be followed
  /// by another apply().
  [[nodiscard]] virtual core::Result<void> restore() = 0;

  /// True if the setting belongs to the thread that calls apply() and not to the machine.
  [[nodiscard]] virtual bool per_calling_thread() const { return false; }
};

/// A governor that passes everything on to another one, which holds what a public header need not
/// show. That one restores when it goes.
class CLEAVE_EXPORT ForwardingGovernor : public Governor {
 public:
  ~ForwardingGovernor() override;
  [[nodiscard]] const core::Knob& knob() const override { return inner_->knob(); }
  [[nodiscard]] core::Result<void> apply(core::LevelIndex level) override {
    return inner_->apply(level);
  }
  [[nodiscard]] core::Result<std::optional<core::LevelIndex>> current() override {
    return inner_->current();
  }
  [[nodiscard]] core::Result<void> restore() override { return inner_->restore(); }
  [[nodiscard]] bool per_calling_thread() const override { return inner_->per_calling_thread(); }

 protected:
  /// `inner` is not null.
  explicit ForwardingGovernor(std::unique_ptr<Governor> inner) : inner_(std::move(inner)) {}
  [[nodiscard]] Governor& inner() { return *inner_; }

 private:
  std::unique_ptr<Governor> inner_;
};

/// The number of threads a network runs with. libtorch keeps it per calling thread, so apply() must
/// run on the thread that will run the network; `set` is called there, e.g. with
/// `[&](int n) { return executable.set_threads(n); }`. restore() calls `set` with `initial`, on the
/// thread that calls it. Thread-safe if `set` is.
class CLEAVE_EXPORT ThreadsGovernor final : public Governor {
 public:
  using Setter = std::function<core::Result<void>(int)>;
  /// Levels 1, 2, 4, ... and `most` itself. `most` and `initial` at least 1, else 1 is taken.
  ThreadsGovernor(int most, int initial, Setter set);
  /// Exactly these counts, which must ascend from at least 1 (std::invalid_argument otherwise).
  ThreadsGovernor(std::vector<int> counts, int initial, Setter set);
  ~ThreadsGovernor() override;

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }
  [[nodiscard]] core::Result<void> apply(core::LevelIndex level) override;
  /// The level last applied on this thread.
  [[nodiscard]] core::Result<std::optional<core::LevelIndex>> current() override;
  [[nodiscard]] core::Result<void> restore() override;
  [[nodiscard]] bool per_calling_thread() const override { return true; }

 private:
  struct State;
  core::Knob knob_;
  std::unique_ptr<State> state_;
};

}  // namespace cleave::inline v0::device
