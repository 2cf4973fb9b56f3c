// Who may touch what lives on an I/O thread: one thread at a time, mostly the I/O thread itself.
#pragma once

#include "lib/transport/asio.hpp"

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

namespace cleave::inline v0::transport {

// The I/O thread is in the section while it handles an event and out of it while it waits for one.
// Another thread that has little to do there, a small message to write say, does it itself if the
// section is free: waking the I/O thread for it takes longer than doing it. It must not wait for
// the section, which a callback may hold that waits for that very thread, and it must call nothing
// of a user's in there.
class Section {
 public:
  [[nodiscard]] bool held() const {
    return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  // In the section until it goes, unless the thread was there before.
  class Hold {
   public:
    explicit Hold(Section& section) : section_(section), entered_(!section.held()) {
      if (entered_)
        section_.enter();
    }
    ~Hold() {
      if (entered_)
        section_.leave();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Section& section_;
    const bool entered_;
  };

  // The same, if nobody else is there.
  class Visit {
   public:
    explicit Visit(Section& section)
        : section_(section),
          entered_(!section.held() && section.try_enter(patience)),
          in_(section.held()) {}
    ~Visit() {
      if (entered_)
        section_.leave();
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    [[nodiscard]] explicit operator bool() const { return in_; }

   private:
    // The I/O thread that has just brought somebody his answer is about to leave.
    static constexpr int patience = 32;

    Section& section_;
    const bool entered_, in_;
  };

 private:
  // A visitor is soon gone: sleeping until then takes longer.
  void enter() {
    if (!try_enter(256))
      mutex_.lock();
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  }
  // Each attempt takes some 10 to 50 ns.
  [[nodiscard]] bool try_enter(int attempts) {
    for (int i = 0; i < attempts; ++i) {
      if (mutex_.try_lock()) {
        owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        return true;
      }
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    return false;
  }
  void leave() {
    owner_.store(std::thread::id(), std::memory_order_relaxed);
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::atomic<std::thread::id> owner_{};
};

// Bodies beyond are not written by visitors: that they do not take long is why they are let in.
inline constexpr std::size_t most_direct = 64U << 10;

// What lives on an I/O thread, and what is needed to get at it.
struct IoPlace {
  asio::io_context context{1};
  Section section;
};

// Runs everything in the section, on the thread that runs the context. Two words, which fit into an
// any_io_executor.
class SectionExecutor {
 public:
  explicit SectionExecutor(IoPlace& place) : place_(&place) {}

  [[nodiscard]] asio::execution_context& query(asio::execution::context_t /*what*/) const noexcept {
    return place_->context;
  }
  [[nodiscard]] asio::execution::blocking_t query(
      asio::execution::blocking_t /*what*/) const noexcept {
    if (later_)
      return asio::execution::blocking.never;
    return asio::execution::blocking.possibly;
  }
  [[nodiscard]] SectionExecutor require(asio::execution::blocking_t::never_t /*what*/) const {
    return {*place_, true};
  }
  [[nodiscard]] SectionExecutor require(asio::execution::blocking_t::possibly_t /*what*/) const {
    return {*place_, false};
  }

  template <class F>
  void execute(F&& work) const {
    if (!later_ && place_->context.get_executor().running_in_this_thread()) {
      run(*place_, std::forward<F>(work));
      return;
    }
    asio::post(place_->context,
               [place = place_, work = std::decay_t<F>(std::forward<F>(work))]() mutable {
                 run(*place, std::move(work));
               });
  }

  friend bool operator==(const SectionExecutor& a, const SectionExecutor& b) noexcept {
    return a.place_ == b.place_ && a.later_ == b.later_;
  }
  friend bool operator!=(const SectionExecutor& a, const SectionExecutor& b) noexcept {
    return !(a == b);
  }

 private:
  SectionExecutor(IoPlace& place, bool later) : place_(&place), later_(later) {}

  template <class F>
  static void run(IoPlace& place, F&& work) {
    const Section::Hold hold(place.section);
    // It goes before the section is left, and with it what it holds.
    auto mine = std::forward<F>(work);
    mine();
  }

  IoPlace* place_;
  bool later_ = false;  // never at once, on the caller's stack
};

}  // namespace cleave::inline v0::transport
